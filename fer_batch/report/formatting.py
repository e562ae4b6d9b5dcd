"""Means and their intervals as text for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fer_batch.emotions import EMOTIONS
from fer_batch.measures import RANGES

TOO_FEW = "too few to say"
#: Intervals wider than this share of their measure's range say nothing, and are not printed or drawn as if they did.
WIDEST = 0.5

#: Colours of the emotions in charts on white and on black, which colour-blind readers can tell apart (after Okabe & Ito
#: 2008, "Color universal design"), and dashes, for those who see none.
_LIGHT = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#0072b2", "#56b4e9", "#767676")
_DARK = ("#f07d33", "#2fc495", "#dc9dc1", "#f0b000", "#4aa0e8", "#9ad6f8", "#aeb4ba")
_DASHES: tuple[list[int], ...] = ([], [8, 3], [2, 3], [], [8, 3, 2, 3], [5, 5], [12, 4])
STYLES = {
    name: {"light": light, "dark": dark, "dash": dash}
    for name, light, dark, dash in zip(EMOTIONS, _LIGHT, _DARK, _DASHES, strict=True)
}

_TITLES = {
    "face_presence": "Face presence",
    "faces_per_frame": "Faces per frame",
    "valence": "Valence",
    "expressiveness": "Expressiveness",
    "attention": "Attention",
    "engagement": "Engagement",
}


@dataclass(frozen=True)
class Figure:
    """A mean as the report shows it. `value`: NaN where there is none; `low` and `high`: NaN where the interval is
    unknown or too wide to mean anything (`sure` is False)."""

    name: str
    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a value at all."""
        return not math.isnan(self.value)

    @property
    def sure(self) -> bool:
        """Whether the interval says something."""
        return not math.isnan(self.low)

    @property
    def title(self) -> str:
        """What it is called."""
        return title(self.name)

    @property
    def text(self) -> str:
        """The value, with its unit."""
        return printed(self.name, self.value)

    @property
    def interval(self) -> str:
        """The interval, or that there is none to speak of."""
        if not self.known:
            return ""
        return between(self.name, self.low, self.high) if self.sure else TOO_FEW

    @property
    def place(self) -> dict[str, float]:
        """Where value and interval lie within the measure's range, in per cent; for engagement and the like."""
        least, most = RANGES.get(self.name, (0.0, 1.0))
        ends = {"value": self.value, "low": self.low, "high": self.high}
        return {key: round(100 * (end - least) / (most - least), 1) for key, end in ends.items()}


def title(name: str) -> str:
    """What a measure or an emotion is called in headings."""
    return _TITLES.get(name, name.capitalize())


def printed(name: str, value: float) -> str:
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


def between(name: str, low: float, high: float) -> str:
    """An interval of a measure as text: 52–96, 8–100%, −0.10 to +0.20."""
    if name == "valence":
        return f"{printed(name, low)} to {printed(name, high)}"
    return f"{printed(name, low).removesuffix('%')}–{printed(name, high)}"


def widest(name: str, value: float) -> float:
    """How wide an interval of a measure may be and still say something."""
    least, most = RANGES.get(name, (0.0, 1.0))
    return WIDEST * (most - least) if math.isfinite(most) else 2 * WIDEST * value


def number(row: Mapping[str, Any], name: str) -> float:
    """A cell of a table as a float, NaN where it is null or the column is missing."""
    value = row.get(name)
    return math.nan if value is None else float(value)


def figure(row: Mapping[str, Any], name: str, column: str | None = None) -> Figure:
    """The mean `name` of a row of a summary, from the columns `column`, `column`_low and `column`_high."""
    value, low, high = (number(row, f"{column or name}{end}") for end in ("", "_low", "_high"))
    if math.isnan(low) or math.isnan(high) or high - low > widest(name, value):
        low = high = math.nan
    return Figure(name, value, low, high)


def clock(seconds: float) -> str:
    """A time within a video: 1:02:03, 2:03, and 2:03.4 where it is no whole second."""
    if math.isnan(seconds):
        return "–"
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    hours, rest = divmod(whole, 3600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    return f"{text}.{tenth}" if tenth else text


def span(start: float, end: float) -> str:
    """A stretch of a video."""
    return f"{clock(start)}–{clock(end)}"


def length(seconds: float) -> str:
    """How long something lasts, in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def counted(n: int, one: str, more: str | None = None) -> str:
    """A number with its noun: 1 video, 2 videos, 12,000 videos."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"
