"""What the audience part of the report shows, as immutable values."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from fer_batch.analysis.studies.design import BASELINE
from fer_batch.measures import RANGES
from fer_batch.report.audience.highlights import MAX_SHOWN_MOMENTS, AudienceMoment, answers, headline, moments
from fer_batch.report.audience.loader import (
    LEVELS,
    MAX_RESPONDENTS,
    Curve,
    StimulusTables,
    StudyTables,
    rows_of,
)
from fer_batch.report.formatting import Estimate, number, title
from fer_batch.report.highlights import Answer
from fer_batch.report.series import scale_of, to_integers

#: Rows of contrasts that the page holds; the study's table has all.
MAX_CONTRASTS = 3000
Row = dict[str, Any]

#: What the terms of the audience part mean.
TERMS = {
    "respondent": "a person, who may be in several recordings. Every respondent counts once, whatever their number of "
    "frames: the respondent, not the frame, is independent.",
    "interval": "the pointwise interval of the mean over respondents: if the study were repeated with other "
    "respondents, it would hold the true mean at this one time in the given share of the repetitions.",
    "simultaneous band": "wider than the interval: it would hold the true mean at all times at once in that share of "
    "the repetitions. Only where the band leaves the baseline may one say that the audience reacted.",
    "baseline": "each respondent's own mean in the segment named baseline. A change is the value minus that mean.",
    "reacting": "expressiveness above the respondent's own baseline mean by two of its standard deviations (without a "
    "baseline: of the whole stimulus).",
    "contrast": "the difference between two groups or conditions. Paired where most respondents are on both sides, "
    "else Welch's t test. p is adjusted after Holm for all comparisons of the stimulus.",
    "Hedges' g": "the difference in standard deviations: about 0.2 is small, 0.5 medium, 0.8 large.",
    "inter-subject correlation": "the mean correlation of each respondent's curve with the mean of the others. p comes "
    "from shifting each curve in a circle by a random time.",
    "missing": "no face was found. Missing time is in no mean, and never counts as neutral.",
}


@dataclass(frozen=True)
class Stimulus:
    """One stimulus of the page. `number`: of its section, from 1."""

    number: int
    study: StudyTables
    tables: StimulusTables
    moments: Sequence[AudienceMoment]

    @property
    def name(self) -> str:
        """The stimulus."""
        return self.tables.name

    @cached_property
    def answers(self) -> list[Answer]:
        """The answers in words."""
        return answers(self.study, self.tables, self.moments)

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """The factors that tell respondents or recordings apart. One with the same value for all repeats the rows of
        all respondents."""
        segments, respondents = self.tables.by_segment, self.tables.by_respondent

        def differs(name: str) -> bool:
            compared = segments.loc[segments["factor"] == name, "value"].nunique()
            return bool(compared > 1 or respondents[name].nunique(dropna=False) > 1)

        return tuple(filter(differs, self.study.factors))

    @property
    def headline(self) -> str | None:
        """What happened, in a sentence."""
        return headline(self.tables, self.moments)

    @property
    def shown_moments(self) -> Sequence[AudienceMoment]:
        """The moments of the table."""
        return self.moments[:MAX_SHOWN_MOMENTS]

    @property
    def respondents(self) -> list[Row]:
        """The rows of the respondents over the whole stimulus."""
        whole = self.tables.by_respondent[self.tables.by_respondent["segment"].isna()]
        return [dict(row) for row in rows_of(whole.head(MAX_RESPONDENTS))]

    @property
    def respondent_count(self) -> int:
        """The number of respondents."""
        return int(self.tables.by_respondent["respondent"].nunique())

    @property
    def segments(self) -> list[Row]:
        """The rows of by_segment, with their estimates."""
        rows = [dict(row) for row in rows_of(self.tables.by_segment) if row["factor"] in (None, *self.factors)]
        names = ["face_presence", *self.study.measures, *(f"{name}_change" for name in self.study.measures)]
        return [row | {"means": {name: interval_of(row, name) for name in names}} for row in rows]

    @property
    def synchrony(self) -> list[Row]:
        """A row per segment: inter-subject correlations by measure."""
        grouped: dict[str | None, Row] = {}
        for row in rows_of(self.tables.synchrony):
            grouped.setdefault(row["segment"], {"segment": row["segment"], "isc": {}})["isc"][row["measure"]] = row
        return list(grouped.values())

    @property
    def seen(self) -> bool:
        """Whether a face of any respondent was found."""
        return bool(self.tables.by_respondent["frames_with_faces"].sum())

    @property
    def enough(self) -> bool:
        """Whether there are enough respondents for intervals."""
        return bool(self.tables.by_segment["enough_respondents"].any())

    @property
    def has_baseline(self) -> bool:
        """Whether the stimulus has a baseline segment."""
        return bool((self.tables.by_segment["segment"] == BASELINE).any())

    @property
    def first_measure(self) -> str:
        """The measure that the charts show first: that of the first moment, else expressiveness."""
        return self.moments[0].measure if self.moments else "expressiveness"

    @property
    def measure_choices(self) -> list[tuple[str, str]]:
        """What the charts can show: name and title."""
        return [(name, title(name)) for name in (*self.study.measures, "reacting_share")]

    @property
    def factor_choices(self) -> list[tuple[str, str]]:
        """The factors whose values the curve chart can show."""
        return [(name, f"by {name}") for name in self.curve_data["factors"]]

    @property
    def sort_choices(self) -> list[tuple[str, str]]:
        """The orders of the heat strips, the one shown first at the head."""
        factors = [(f"factor {name}", f"by {name}, then mean") for name in self.factors]
        return [*factors, ("mean", "by mean"), ("name", "by name")]

    @cached_property
    def curve_data(self) -> Row:
        """The data of the curve chart."""
        segments = self.tables.by_segment
        named = segments[segments["factor"].isna() & segments["segment"].notna()]
        curves = [curve for curve in self.tables.curves if curve.factor in (None, *self.factors)]
        spans: dict[str, list[Row]] = {}
        for moment in self.moments:
            spans.setdefault(moment.measure, []).append({"start": moment.start, "end": moment.end})
        return {
            "measures": [*self.study.measures, "reacting_share"],
            "first": self.first_measure,
            "factors": [name for name in self.factors if any(curve.factor == name for curve in curves)],
            "curves": [_curve_json(curve) for curve in curves],
            "segments": [
                {"name": row["segment"], "start": row["start_s"], "end": row["end_s"]} for row in rows_of(named)
            ],
            "reference": self._reference(),
            "moments": spans,
            "confidence": self.study.confidence,
        }

    def _reference(self) -> Row:
        """The mean over all respondents that changes are compared with: of the baseline, else of the whole stimulus."""
        rows = self.tables.by_segment[self.tables.by_segment["factor"].isna()]
        of_baseline = rows[rows["segment"] == BASELINE]
        chosen = of_baseline if len(of_baseline) else rows[rows["segment"].isna()]
        row = next(rows_of(chosen), {})
        name = "baseline mean" if len(of_baseline) else "stimulus mean"
        return {"name": name, "values": {measure: row.get(measure) for measure in self.study.measures}}

    @cached_property
    def strips_data(self) -> Row | None:
        """The data of the heat strips; None without them."""
        strips = self.tables.strips
        if strips is None:
            return None
        whole = self.tables.by_respondent[self.tables.by_respondent["segment"].isna()].set_index("respondent")
        groups = {
            factor: [
                None if pd.isna(whole[factor].get(name)) else whole[factor].get(name) for name in strips.respondents
            ]
            for factor in self.factors
        }
        return {
            "rows": strips.respondents,
            "groups": groups,
            "first": self.first_measure,
            "start": to_integers(strips.start, 100),
            "width": strips.width,
            "levels": LEVELS,
            "ranges": {name: RANGES.get(name, (0.0, 1.0)) for name in strips.levels},
            "values": {name: base64.b64encode(levels.tobytes()).decode() for name, levels in strips.levels.items()},
        }

    @cached_property
    def contrasts_data(self) -> list[Row]:
        """The rows of the forest plot: of too many, those with the smallest adjusted p."""
        rows = self.tables.contrasts.dropna(subset="difference")
        if len(rows) > MAX_CONTRASTS:
            rows = rows.loc[rows["p_adjusted"].sort_values(kind="stable").index[:MAX_CONTRASTS]].sort_index()
        names = ("segment", "measure", "factor", "value_a", "value_b", "paired", "respondents_a", "respondents_b")
        numbers = ("difference", "difference_low", "difference_high", "hedges_g", "hedges_g_low", "hedges_g_high")
        return [
            {name: row[name] for name in names}
            | {name: _rounded(row[name], 4) for name in numbers}
            | {"p": _rounded(row["p"], 6), "p_adjusted": _rounded(row["p_adjusted"], 6)}
            for row in rows_of(rows)
        ]

    @property
    def description(self) -> str:
        """The curve chart in a sentence, for screen readers."""
        return (
            f"Curves of {self.respondent_count} respondents over {self.name}, with intervals and the number of "
            "respondents below. The tables below hold the means by segment."
        )


@dataclass(frozen=True)
class Audience:
    """The audience part of the report."""

    study: StudyTables

    @property
    def stimuli(self) -> list[Stimulus]:
        """The stimuli, numbered."""
        return [
            Stimulus(number, self.study, tables, moments(tables, self.study.bin_s))
            for number, tables in enumerate(self.study.stimuli, start=1)
        ]

    @property
    def terms(self) -> dict[str, str]:
        """Definitions in plain words."""
        return TERMS


def interval_of(row: Row, name: str) -> Estimate:
    """A mean over respondents with its interval, however wide."""
    return Estimate(name, *(number(row, f"{name}{end}") for end in ("", "_low", "_high")))


def _curve_json(curve: Curve) -> Row:
    return {
        "factor": curve.factor,
        "value": curve.value,
        "start": to_integers(curve.start, 100),
        "width": curve.width,
        "respondents": to_integers(curve.respondents, 1),
        "values": {
            name: [None if np.isnan(column).all() else to_integers(column, scale_of(name)) for column in columns]
            for name, columns in curve.values.items()
        },
        "scales": {name: scale_of(name) for name in curve.values},
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or math.isnan(value) else round(value, digits)
