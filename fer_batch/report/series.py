"""Series over time for a video's charts: its windows or, if it is short, its sampled frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_batch.analysis.intervals import series_means
from fer_batch.measures import RANGES
from fer_batch.report.formatting import max_interval_width

Floats = NDArray[np.float64]
#: Frames on either side in the moving mean of a short video.
HALF_WIDTH = 3
#: Factors by which values are multiplied to be written as integers.
SCALES = {"engagement": 10, "faces_per_frame": 100}
_SCALE = 1000
_COUNTED = ("face_presence", "faces_per_frame")


@dataclass(frozen=True)
class Series:
    """Means over time, each with its interval. `start` and `end`: seconds of each point; `values`: mean, low and high
    by name, NaN where unknown; `frames`: frames averaged in a point of a short video, 0 for windows; `joined`: the
    windows in a point."""

    start: Floats
    end: Floats
    values: dict[str, tuple[Floats, Floats, Floats]]
    frames: int = 0
    joined: int = 1

    @property
    def banded(self) -> bool:
        """Whether any mean has an interval to draw."""
        return any(not np.isnan(low).all() for _, low, _ in self.values.values())


def from_windows(windows: pd.DataFrame, names: Sequence[str], max_points: int) -> Series:
    """The rows of summary/timeline of one video, as at most about `max_points` points.

    If there are more, adjacent windows are joined: means weighted by their frames, and the ends of intervals likewise,
    which is never narrower than the interval of the joined mean (as if windows were fully correlated).
    """
    joined = math.ceil(len(windows) / max_points)
    groups = (windows["window_index"] // joined).to_numpy()
    starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    values = {}
    for name in names:
        weight = windows["frames" if name == "face_presence" else "frames_with_faces"].to_numpy(float)
        columns = (windows[f"{name}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
        mean, low, high = (_joined(column, weight, starts) for column in columns)
        values[name] = mean, *_narrow_bounds(name, mean, low, high)
    ends = np.append(starts[1:], len(windows)) - 1
    return Series(windows["start_s"].to_numpy()[starts], windows["end_s"].to_numpy()[ends], values, 0, joined)


def _joined(values: Floats, weight: Floats, starts: NDArray[np.int64]) -> Floats:
    """Weighted means of groups; NaN where a value with a weight is unknown, or there is none."""
    total = np.add.reduceat(weight, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.add.reduceat(np.where(weight > 0, values * weight, 0.0), starts) / total)


def from_frames(frames: pd.DataFrame, names: Sequence[str]) -> Series:
    """The sampled frames of one short video, in the order of time: moving means with their intervals. Fewer than
    2 x HALF_WIDTH + 1 frames, and face counts, are not smoothed."""
    times, seen = frames["timestamp_s"].to_numpy(float), frames["face_count"].to_numpy() > 0
    columns = {name: frames[name].to_numpy(float) for name in names if name in frames}
    columns["face_presence"] = seen.astype(float)
    columns["faces_per_frame"] = np.where(seen, frames["face_count"].to_numpy(float), np.nan)
    count, smooth = len(frames), len(frames) > 2 * HALF_WIDTH
    around = [np.arange(max(0, i - HALF_WIDTH), min(count, i + HALF_WIDTH + 1)) for i in range(count)]
    starts = np.cumsum([0, *(len(each) for each in around)])[:-1]
    values = {}
    for name in names:
        column, unknown = columns[name], np.full(count, np.nan)
        if not smooth or name in _COUNTED:
            values[name] = column, unknown, unknown
            continue
        means = series_means(column[np.concatenate(around)], starts, np.zeros(count, int), 2 * HALF_WIDTH + 1)
        low, high = means.bounds(*RANGES.get(name, (0.0, 1.0)))
        mean = np.where(np.isnan(column), np.nan, means.mean)  # A gap in the line where no face was seen.
        values[name] = mean, *_narrow_bounds(name, mean, low, high)
    return Series(times, times, values, 2 * HALF_WIDTH + 1 if smooth else 1)


def _narrow_bounds(name: str, mean: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """The ends of the intervals; NaN where an interval is too wide to be shown."""
    with np.errstate(invalid="ignore"):
        wide = ~(high - low <= np.array([max_interval_width(name, value) for value in mean]))
    return np.where(wide, np.nan, low), np.where(wide, np.nan, high)


def as_json(series: Series, duration: float) -> dict[str, Any]:
    """The series as JSON values: times in hundredths of a second, values as integers by `SCALES`."""
    return {
        "duration": None if math.isnan(duration) else round(duration, 2),
        "frames": series.frames,
        "joined": series.joined,
        "start": to_integers(series.start, 100),
        "end": to_integers(series.end, 100),
        "values": {
            name: [to_integers(column, scale_of(name)) for column in columns] for name, columns in series.values.items()
        },
        "scales": {name: scale_of(name) for name in series.values},
    }


def scale_of(name: str) -> int:
    """The factor by which values of a measure are multiplied to be written as integers."""
    return SCALES.get(name, _SCALE)


def to_integers(values: Floats, scale: int) -> list[int | None]:
    """Values times a scale, rounded; None for NaN."""
    return [None if math.isnan(value) else round(value * scale) for value in values.tolist()]
