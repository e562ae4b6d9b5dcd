"""The audience in words: how many, when they reacted, whether together, whether groups differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fer_batch.analysis.studies.design import BASELINE
from fer_batch.measures import RANGES
from fer_batch.report.audience.loader import ORDER, StimulusTables, StudyTables, rows_of
from fer_batch.report.formatting import format_count, format_span, format_value, title
from fer_batch.report.highlights import Answer

#: Moments in the page's table; the study's table has all bins.
MAX_SHOWN_MOMENTS = 20
#: Moments in the sentence at the top.
_MAX_IN_HEADLINE = 3
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class AudienceMoment:
    """Consecutive bins in which the simultaneous band of a measure's change excludes 0, with the values of the bin that
    ranks first: value, reference and change are in the measure's unit."""

    measure: str
    direction: str
    start: float
    end: float
    rank: int
    value: float
    reference: float
    change: float
    low: float
    high: float
    respondents: int
    beyond: int
    compared_with: str

    @property
    def when(self) -> str:
        """The span of stimulus time."""
        return format_span(self.start, self.end)

    @property
    def size(self) -> float:
        """The change as a share of the measure's range."""
        return abs(self.change) / _width(self.measure)


def format_change(name: str, value: float) -> str:
    """A difference of a measure with its sign: +12 (percentage points, or of engagement), −0.10 (of valence)."""
    name = name.removesuffix("_change")
    if pd.isna(value):
        return "–"
    size = value if name in ("valence", "engagement") else 100 * value
    digits = 2 if name == "valence" else 1 if abs(size) < 9.95 else 0
    return f"{round(size, digits) + 0.0:+.{digits}f}".replace("-", "−")


def moments(stimulus: StimulusTables, bin_s: float) -> list[AudienceMoment]:
    """The moments of a stimulus, adjacent bins merged, the largest change first."""
    found: list[AudienceMoment] = []
    rows = stimulus.moments.sort_values(["measure", "direction", "bin_start_s"])
    for _, group in rows.groupby(["measure", "direction"], sort=False):
        new_span = (group["bin_start_s"].diff() > bin_s + _TOLERANCE).cumsum()
        found += [_moment(span) for _, span in group.groupby(new_span)]
    # Rounded: neutral falls by as much as expressiveness rises, and the latter comes first.
    return sorted(found, key=lambda moment: (-round(moment.size, 4), ORDER.index(moment.measure)))


def _moment(bins: pd.DataFrame) -> AudienceMoment:
    best = bins.sort_values("rank").iloc[0]
    value, reference, change, low, high = (
        float(best[name]) for name in ("value", "reference", "change", "change_band_low", "change_band_high")
    )
    return AudienceMoment(
        measure=best["measure"],
        direction=best["direction"],
        start=float(bins["bin_start_s"].min()),
        end=float(bins["bin_end_s"].max()),
        rank=int(best["rank"]),
        value=value,
        reference=reference,
        change=change,
        low=low,
        high=high,
        respondents=int(best["respondents"]),
        beyond=int(best["respondents_beyond"]),
        compared_with=best["compared_with"],
    )


def headline(stimulus: StimulusTables, found: Sequence[AudienceMoment]) -> str | None:
    """The largest changes in a sentence, one for each stretch of time; None without a moment."""
    chosen: list[AudienceMoment] = []
    for moment in found:
        apart = all(moment.end <= other.start or other.end <= moment.start for other in chosen)
        if apart and len(chosen) < _MAX_IN_HEADLINE:
            chosen.append(moment)
    if not chosen:
        return None
    parts = [
        f"{moment.when}{_in_segment(stimulus, moment)}, {title(moment.measure).lower()} "
        f"{format_value(moment.measure, moment.value)} ({_reference(moment.compared_with)} "
        f"{format_value(moment.measure, moment.reference)})"
        for moment in chosen
    ]
    return f"{'Largest reactions' if len(parts) > 1 else 'Largest reaction'}: {'; '.join(parts)}."


def _in_segment(stimulus: StimulusTables, moment: AudienceMoment) -> str:
    """The segment in which the middle of a moment lies."""
    rows = stimulus.by_segment
    middle = (moment.start + moment.end) / 2
    there = rows[rows["segment"].notna() & (rows["start_s"] <= middle) & (middle < rows["end_s"])]
    return f" in {there['segment'].iloc[0]}" if len(there) else ""


def answers(study: StudyTables, stimulus: StimulusTables, found: Sequence[AudienceMoment]) -> list[Answer]:
    """The four answers about one stimulus."""
    if not stimulus.by_respondent["frames_with_faces"].any():
        return [_who(study, stimulus)]
    return [
        _who(study, stimulus),
        _when(stimulus, found),
        _together(study, stimulus),
        *([_differ(study, stimulus)] if len(stimulus.contrasts) else []),
    ]


def _whole(stimulus: StimulusTables) -> pd.DataFrame:
    return stimulus.by_respondent[stimulus.by_respondent["segment"].isna()]


def _who(study: StudyTables, stimulus: StimulusTables) -> Answer:
    rows = _whole(stimulus)
    frames, with_face = rows["frames"].sum(), rows["frames_with_faces"].sum()
    notes = [f"{format_count(int(rows['recordings'].sum()), 'recording')}, {frames:,} sampled frames."]
    for factor in study.factors:
        counts = rows[factor].value_counts()
        if 0 < len(counts) <= 6:
            notes.append(f"{factor}: " + ", ".join(f"{value} {count}" for value, count in sorted(counts.items())) + ".")
    if 0 < with_face < frames:
        notes.append(f"A face was found in {with_face / frames:.0%} of the frames; the rest is missing, not neutral.")
    if unseen := int((rows["frames_with_faces"] == 0).sum()):
        notes.append(f"No face was found for {format_count(unseen, 'respondent')}.")
    return Answer("Who was analysed?", format_count(len(rows), "respondent"), tuple(notes))


def _when(stimulus: StimulusTables, found: Sequence[AudienceMoment]) -> Answer:
    question = "When did they react most?"
    if not stimulus.by_segment["enough_respondents"].any():
        return Answer(question, "Too few respondents", ("Intervals and moments need at least three with a face.",))
    if not found:
        return Answer(question, "No clear moment", ("No simultaneous band of a change excludes 0.",))
    best = found[0]
    change = f"{format_change(best.measure, best.low)} to {format_change(best.measure, best.high)}"
    notes = (
        f"{title(best.measure)} {format_value(best.measure, best.value)}, {_reference(best.compared_with)} "
        f"{format_value(best.measure, best.reference)}: a change of {format_change(best.measure, best.change)}"
        f"{_points(best.measure)} (simultaneous band {change}).",
        f"{best.beyond} of {best.respondents} respondents lay {'above' if best.direction == 'high' else 'below'} it.",
    )
    return Answer(question, best.when, notes)


def _reference(compared_with: str) -> str:
    return "at their baseline" if compared_with == BASELINE else "in their stimulus mean"


def _points(name: str) -> str:
    return "" if name == "valence" else " points"


def _together(study: StudyTables, stimulus: StimulusTables) -> Answer:
    question = "Did they react together?"
    rows = stimulus.synchrony
    rows = rows[rows["segment"].isna() & (rows["measure"] == "expressiveness")]
    row: Mapping[str, Any] = next(rows_of(rows), {})
    if row.get("isc_low") is None:
        return Answer(question, "Too few respondents", ("Inter-subject correlation needs at least three curves.",))
    significant = row["p"] is not None and row["p"] < 1 - study.confidence
    text = format_correlation(row["isc"])
    interval = f"{format_correlation(row['isc_low'])} to {format_correlation(row['isc_high'])}"
    notes = (
        f"Inter-subject correlation of expressiveness {text} ({study.confidence:.0%} interval {interval}; p "
        f"{format_p(row['p'])}): how closely each curve follows the mean of the others, 0 not at all, 1 fully.",
    )
    return Answer(question, "Yes" if significant and row["isc"] > 0 else "Not clearly", notes)


def _differ(study: StudyTables, stimulus: StimulusTables) -> Answer:
    question = "Did groups differ?"
    rows = stimulus.contrasts.dropna(subset="p_adjusted").sort_values("p_adjusted", kind="stable")
    if rows.empty:
        return Answer(question, "Too few respondents", ("Contrasts need at least three respondents on both sides.",))
    significant = rows[rows["p_adjusted"] < 1 - study.confidence]
    candidates = significant if len(significant) else rows
    sizes = candidates["difference"].abs() / candidates["measure"].map(_width)
    best = next(rows_of(candidates.loc[[sizes.idxmax()]]))
    name = best["measure"].removesuffix("_change")
    of = f"{title(name)}{', change from baseline,' if best['measure'].endswith('_change') else ''}"
    low, high = (format_change(name, best[f"difference_{end}"]) for end in ("low", "high"))
    note = (
        f"{'Largest of these' if len(significant) else 'Largest difference'}: {of} in "
        f"{best['segment'] or 'the whole stimulus'}, "
        f"{best['value_a']} minus {best['value_b']}: {format_change(name, best['difference'])}{_points(name)} "
        f"({study.confidence:.0%} interval {low} to {high}; adjusted p {format_p(best['p_adjusted'])})."
    )
    text = f"In {len(significant)} of {format_count(len(rows), 'comparison')}" if len(significant) else "Not clearly"
    return Answer(question, text, (note,))


def _width(measure: str) -> float:
    minimum, maximum = RANGES.get(measure.removesuffix("_change"), (0.0, 1.0))
    return maximum - minimum


def format_correlation(value: float | None) -> str:
    """A correlation with two digits."""
    return "–" if value is None or pd.isna(value) else f"{value:.2f}".replace("-", "−")


def format_p(value: float | None) -> str:
    """A p value: < 0.001, or = with three digits."""
    if value is None or pd.isna(value):
        return "unknown"
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
