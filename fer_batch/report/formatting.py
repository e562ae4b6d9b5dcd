"""Means, intervals, times and counts as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fer_batch.measures import RANGES

TOO_FEW = "too few to say"
#: Intervals wider than this share of their measure's range are neither printed nor drawn.
MAX_INTERVAL_SHARE = 0.5

#: Names of measures in headings; an emotion is called by its own.
TITLES = {
    "face_presence": "Face presence",
    "faces_per_frame": "Faces per frame",
    "valence": "Valence",
    "expressiveness": "Expressiveness",
    "attention": "Attention",
    "engagement": "Engagement",
    "reacting_share": "Share of respondents reacting",
}


@dataclass(frozen=True)
class Estimate:
    """A mean as the report shows it. `value`: NaN where there is none; `low` and `high`: NaN where the interval is
    unknown or too wide (`reliable` is False)."""

    name: str
    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    @property
    def reliable(self) -> bool:
        """Whether there is an interval narrow enough to show."""
        return not math.isnan(self.low)

    @property
    def title(self) -> str:
        """The measure's name in headings."""
        return title(self.name)

    @property
    def text(self) -> str:
        """The value, with its unit."""
        return format_value(self.name, self.value)

    @property
    def interval(self) -> str:
        """The interval, or `TOO_FEW`; empty without a value."""
        if not self.known:
            return ""
        return format_interval(self.name, self.low, self.high) if self.reliable else TOO_FEW

    @property
    def positions(self) -> dict[str, float]:
        """Positions of value and interval within the measure's range, in per cent."""
        minimum, maximum = RANGES.get(self.name, (0.0, 1.0))
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {key: round(100 * (end - minimum) / (maximum - minimum), 1) for key, end in ends.items()}


def title(name: str) -> str:
    """The name of a measure or an emotion in headings."""
    return TITLES.get(name, name.capitalize())


def format_value(name: str, value: float) -> str:
    """A value of a measure as text: shares in per cent, the others in their own units; a dash where there is none."""
    if math.isnan(value):
        return "–"
    if name == "valence":
        return f"{value:+.2f}".replace("-", "−")
    if name == "engagement":
        return f"{value:.0f}"
    if name == "faces_per_frame":
        return f"{value:.1f}"
    return f"{100 * value:.0f}%"


def format_cell(name: str, value: float | None) -> str:
    """A cell of a table as text; a dash for None."""
    return format_value(name, math.nan if value is None else value)


def format_interval(name: str, low: float, high: float) -> str:
    """An interval of a measure as text: 52–96, 8–100%, −0.10 to +0.20."""
    if name == "valence":
        return f"{format_value(name, low)} to {format_value(name, high)}"
    return f"{format_value(name, low).removesuffix('%')}–{format_value(name, high)}"


def max_interval_width(name: str, value: float) -> float:
    """The widest interval of a measure that is shown."""
    minimum, maximum = RANGES.get(name, (0.0, 1.0))
    return MAX_INTERVAL_SHARE * (maximum - minimum) if math.isfinite(maximum) else 2 * MAX_INTERVAL_SHARE * value


def number(row: Mapping[str, Any], name: str) -> float:
    """A cell of a table as a float, NaN where it is null or the column is missing."""
    value = row.get(name)
    return math.nan if value is None else float(value)


def estimate(row: Mapping[str, Any], name: str, column: str | None = None) -> Estimate:
    """The mean `name` of a row of a summary, from the columns `column`, `column`_low and `column`_high."""
    value, low, high = (number(row, f"{column or name}{end}") for end in ("", "_low", "_high"))
    if math.isnan(low) or math.isnan(high) or high - low > max_interval_width(name, value):
        low = high = math.nan
    return Estimate(name, value, low, high)


def format_time(seconds: float) -> str:
    """A time within a video: 1:02:03, 2:03, and 2:03.4 where it is no whole second."""
    if math.isnan(seconds):
        return "–"
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    hours, rest = divmod(whole, 3600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    return f"{text}.{tenth}" if tenth else text


def format_tenths(seconds: float) -> str:
    """A time with its tenth, always, so that it keeps its width: 0:04.3."""
    tenths = int(10 * seconds + 1e-6)
    return f"{format_time(tenths // 10)}.{tenths % 10}"


def format_span(start: float, end: float) -> str:
    """A span of time within a video: 1:30–1:40."""
    return f"{format_time(start)}–{format_time(end)}"


def format_duration(seconds: float) -> str:
    """A duration: 3.4 s, 12 s, 1.5 min, 48 min, 2.5 h."""
    if seconds < 89.5:
        return f"{seconds:.2g} s"
    if seconds < 5370:
        return f"{seconds / 60:.2g} min"
    return f"{seconds / 3600:.1f} h"


def format_count(n: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: 1 video, 2 videos, 12,000 videos."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
