"""Reads the tables of a study, one stimulus at a time; long curves are joined to what a page can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.analysis.studies.folder import study_facts, table_path
from fer_batch.emotions import EMOTIONS
from fer_batch.measures import RANGES
from fer_batch.tables.parquet import read_batches, read_table

Floats = NDArray[np.float64]
#: Measures and emotions, in the order of the page.
ORDER = ("engagement", "expressiveness", "valence", "attention", *EMOTIONS)
#: Table names of a study that the page needs; the last one draws the strips.
TABLES = ("by_respondent", "by_segment", "contrasts", "synchrony", "moments", "curve")
RESPONDENT_CURVES = "respondent_curves"
ENDS = ("", "_low", "_high", "_band_low", "_band_high")
#: Points of a curve; values of all curves of a stimulus; cells of the strips of a measure; respondents in them.
MAX_POINTS, MAX_VALUES, MAX_CELLS, MAX_RESPONDENTS = 600, 120_000, 100_000, 500
MIN_POINTS, MIN_COLUMNS = 60, 60
#: Levels of a cell in the strips, and the one that stands for a missing value.
LEVELS, MISSING = 250, 255


@dataclass(frozen=True)
class Curve:
    """The mean over respondents of one factor value (both None: all respondents), a value per point.

    Attributes:
        start: Seconds of stimulus time at which each point begins.
        width: Seconds of a point.
        respondents: Mean number of respondents with a face.
        values: By measure: mean, ends of the pointwise interval, ends of the simultaneous band; NaN where unknown.
    """

    factor: str | None
    value: str | None
    start: Floats
    width: float
    respondents: Floats
    values: dict[str, tuple[Floats, ...]]


@dataclass(frozen=True)
class Strips:
    """The curve of each respondent, as levels from 0 (lower end of the measure's range) to `LEVELS`, or `MISSING`.

    Attributes:
        respondents: Their names, in the order of rows.
        start: Seconds of stimulus time at which each column begins.
        width: Seconds of a column.
        levels: By measure, uint8 of shape (respondents, columns).
    """

    respondents: list[str]
    start: Floats
    width: float
    levels: dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class StimulusTables:
    """All that the study's tables hold of one stimulus. `strips`: None where the study has no table of them."""

    name: str
    by_respondent: pd.DataFrame
    by_segment: pd.DataFrame
    contrasts: pd.DataFrame
    synchrony: pd.DataFrame
    moments: pd.DataFrame
    curves: list[Curve]
    strips: Strips | None


@dataclass(frozen=True)
class StudyTables:
    """The tables of a study. `confidence`: of its intervals, 0..1; `bin_s`: seconds of a bin; `measures`: measures and
    emotions, in the order of the page; `factors`: its factor columns; `stimuli`: sorted by name."""

    confidence: float
    bin_s: float
    measures: tuple[str, ...]
    factors: tuple[str, ...]
    stimuli: list[StimulusTables]


def read_study(out: Path) -> StudyTables:
    """Read the tables of a study. `out`: the output folder of a run."""
    facts = study_facts(out)
    small = {name: _read(out, name) for name in TABLES if name != "curve"}
    known = small["by_segment"]
    measures = tuple(name for name in ORDER if name in known and (known[name].notna().any() or name != "attention"))
    names = sorted(small["by_respondent"]["stimulus"].unique())
    curves = _read_curves(out, measures, facts.bin_s)
    stimuli = []
    for name in names:
        tables = {table: rows[rows["stimulus"] == name] for table, rows in small.items()}
        of_stimulus = curves.get(name, [])
        respondents = sorted(tables["by_respondent"]["respondent"].unique())
        strips = _read_strips(out, name, respondents, measures, facts.bin_s)
        stimuli.append(StimulusTables(name, **tables, curves=of_stimulus, strips=strips))
    return StudyTables(facts.confidence, facts.bin_s, measures, facts.factors, stimuli)


def _read(out: Path, name: str) -> pd.DataFrame:
    rows: pd.DataFrame = read_table(table_path(out, name)).to_pandas()
    return rows


def _read_curves(out: Path, measures: Sequence[str], bin_s: float) -> dict[str, list[Curve]]:
    """The curves of all stimuli, joined to few enough points."""
    columns = ["stimulus", "factor", "value", "bin_start_s", "respondents", "reacting_share"]
    columns += [f"{name}{end}" for name in measures for end in ENDS]
    tables = [batch.to_pandas() for batch in read_batches(table_path(out, "curve"), columns)]
    if not tables:
        return {}
    every = pd.concat(tables, ignore_index=True)
    found: dict[str, list[Curve]] = {}
    for stimulus, rows in every.groupby("stimulus", sort=False):
        groups = list(rows.groupby(["factor", "value"], sort=False, dropna=False))
        points = MAX_VALUES // (len(groups) * len(measures) * len(ENDS))
        points = max(MIN_POINTS, min(MAX_POINTS, points))
        found[str(stimulus)] = [
            _curve(
                None if pd.isna(factor) else factor, None if pd.isna(value) else value, part, measures, points, bin_s
            )
            for (factor, value), part in groups
        ]
    return found


def _curve(
    factor: str | None, value: str | None, rows: pd.DataFrame, measures: Sequence[str], points: int, bin_s: float
) -> Curve:
    joined = math.ceil(len(rows) / points)
    starts = np.arange(0, len(rows), joined)
    weight = rows["respondents"].to_numpy(float)
    values = {
        name: tuple(join(rows[f"{name}{end}"].to_numpy(float), weight, starts) for end in ENDS) for name in measures
    }
    unknown = np.full(len(starts), np.nan)
    values["reacting_share"] = join(rows["reacting_share"].to_numpy(float), weight, starts), *[unknown] * 4
    respondents = join(weight, np.ones(len(rows)), starts)
    return Curve(factor, value, rows["bin_start_s"].to_numpy(float)[starts], bin_s * joined, respondents, values)


def join(values: Floats, weight: Floats, starts: NDArray[np.int64]) -> Floats:
    """Weighted means of consecutive groups, over the values that are known; NaN where none is.

    The mean of the ends of intervals is never narrower than the interval of the mean.

    Args:
        values: (values,), NaN where unknown.
        weight: (values,).
        starts: Index of the first value of each group, (groups,).
    """
    weight = np.where(np.isnan(values), 0.0, weight)
    total = np.add.reduceat(weight, starts)
    sums = np.add.reduceat(np.nan_to_num(values) * weight, starts)
    return np.asarray(np.divide(sums, total, out=np.full(len(starts), np.nan), where=total > 0))


def _read_strips(
    out: Path, stimulus: str, respondents: Sequence[str], measures: Sequence[str], bin_s: float
) -> Strips | None:
    """The strips of one stimulus; of more than `MAX_RESPONDENTS` respondents those of the first."""
    shown = list(respondents[:MAX_RESPONDENTS])
    columns = ["stimulus", "respondent", "bin_start_s", *measures]
    rows: dict[str, pd.DataFrame] = {}
    for batch in read_batches(table_path(out, RESPONDENT_CURVES), columns):
        mine = pc.and_(pc.equal(batch["stimulus"], stimulus), pc.is_in(batch["respondent"], pa.array(shown)))
        for name, part in batch.filter(mine).to_pandas().groupby("respondent", sort=False):
            rows[str(name)] = pd.concat([rows[str(name)], part]) if name in rows else part
    if not rows:
        return None
    first = min(part["bin_start_s"].min() for part in rows.values())
    bins = round((max(part["bin_start_s"].max() for part in rows.values()) - first) / bin_s) + 1
    joined = math.ceil(bins / max(MIN_COLUMNS, MAX_CELLS // len(shown)))
    starts = np.arange(0, bins, joined)
    levels = {name: np.full((len(shown), len(starts)), MISSING, np.uint8) for name in measures}
    for row, respondent in enumerate(shown):
        if (part := rows.get(respondent)) is None:
            continue
        index = ((part["bin_start_s"].to_numpy(float) - first) / bin_s).round().astype(int)
        for name in measures:
            curve = np.full(bins, np.nan)
            curve[index] = part[name].to_numpy(float)
            levels[name][row] = to_levels(join(curve, np.ones(bins), starts), *RANGES.get(name, (0.0, 1.0)))
    return Strips(shown, first + starts * bin_s, bin_s * joined, levels)


def to_levels(values: Floats, minimum: float, maximum: float) -> NDArray[np.uint8]:
    """Values of a measure with this range as levels of a strip."""
    scaled = np.clip((values - minimum) / (maximum - minimum), 0, 1) * LEVELS
    return np.where(np.isnan(values), MISSING, np.nan_to_num(scaled).round()).astype(np.uint8)


def rows_of(table: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    """The rows of a table, with None in place of NaN."""
    for row in table.to_dict("records"):
        yield {str(key): None if not isinstance(value, str) and pd.isna(value) else value for key, value in row.items()}
