"""From the tables of a run to what each respondent showed in each bin and segment of a stimulus.

Part by part: frames and faces are reduced to sums per bin at once, so memory grows with respondents and bins, not with
frames or faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fer_batch.analysis.studies.design import Segment
from fer_batch.analysis.studies.inference import Floats
from fer_batch.analysis.studies.matching import Recording
from fer_batch.analysis.studies.spans import Spans, usual_interval

#: A frame stands for the time until the next one, but for no gap: at most this many usual intervals.
_LONGEST_INTERVAL = 1.5


@dataclass(frozen=True)
class MediaRows:
    """The rows of one file, in the order of its frames.

    Frames: index, time in seconds, width and height in pixels. Faces: the frame's position, centre in pixels, track,
    and values (measures, faces), NaN where a face has none.
    """

    path: str
    times: Floats
    widths: Floats
    heights: Floats
    face_frames: NDArray[np.int64]
    centre_x: Floats
    centre_y: Floats
    tracks: NDArray[np.int64]
    values: Floats


@dataclass(frozen=True)
class Grid:
    """The bins and segments of a stimulus. Bin i covers [i * width, (i + 1) * width) seconds of stimulus time; the
    first bin is below 0 where a segment begins before the stimulus. `names`: what is measured, `sparse`: those of them
    that a frame may lack although it has a face."""

    width: float
    segments: tuple[Segment, ...]
    names: tuple[str, ...]
    sparse: tuple[str, ...] = ("attention",)

    @property
    def first_bin(self) -> int:
        """The number of the first bin, at most 0."""
        return min([0, *(self.bin_of(segment.start_s) for segment in self.segments)])

    def bin_of(self, seconds: float) -> int:
        """The number of the bin that a time lies in."""
        return int(self.bins_of(np.array([seconds]))[0])

    def bins_of(self, seconds: Floats) -> NDArray[np.int64]:
        """The same of many times. Rounded first: 0.6 / 0.2 is 2.9999… in binary, but belongs to bin 3."""
        return np.floor((seconds / self.width).round(6)).astype(np.int64)

    def bins_in(self, segment: Segment, count: int) -> NDArray[np.bool_]:
        """Which of `count` bins, from the first one on, have their middle in a segment."""
        middles = (np.arange(count) + self.first_bin + 0.5) * self.width
        return (middles >= segment.start_s) & (middles < segment.end_s)


@dataclass
class Sums:
    """Sums over frames with a face, (measures, groups), and how many there were; groups are bins or segments.

    `seen`: frames with a face, `seen_sparse`: those with a value of what a frame may lack, `frames`: all frames.
    """

    values: Floats
    seen: NDArray[np.int64]
    seen_sparse: NDArray[np.int64]
    frames: NDArray[np.int64]

    @classmethod
    def zeros(cls, measures: int, groups: int) -> Sums:
        """Of nothing yet."""
        counts = np.zeros((3, groups), np.int64)
        return cls(np.zeros((measures, groups)), *counts)

    def add(self, other: Sums) -> None:
        """Add sums over other frames; of a longer axis of groups the sums grow."""
        missing = other.values.shape[1] - self.values.shape[1]
        for name in ("values", "seen", "seen_sparse", "frames"):
            mine, more = getattr(self, name), getattr(other, name)
            if missing > 0:
                mine = np.concatenate([mine, np.zeros((*mine.shape[:-1], missing), mine.dtype)], axis=-1)
            mine[..., : more.shape[-1]] += more
            setattr(self, name, mine)


@dataclass
class Unit:
    """What one respondent showed under one combination of factor values, over all recordings of a stimulus.

    `bins` from the grid's first one on; `segments`: the whole stimulus first, then the grid's segments; `faces` and
    `left_out`: faces counted there and those that the rows of the study leave out; `covered`, `seen`: spans of stimulus
    time with frames and with a face; `recordings`: how many.
    """

    bins: Sums
    segments: Sums
    faces: NDArray[np.int64]
    left_out: NDArray[np.int64]
    covered: Spans = field(default_factory=Spans)
    seen: Spans = field(default_factory=Spans)
    recordings: int = 0


UnitKey = tuple[str, tuple[str | None, ...]]


class Collection:
    """Gathers the recordings of one stimulus, respondent by respondent."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.units: dict[UnitKey, Unit] = {}

    def expect(self, recording: Recording) -> None:
        """Have a respondent there even if none of the frames can be read."""
        self._unit(recording).recordings += 1

    def add(self, recording: Recording, media: MediaRows, chosen: NDArray[np.bool_]) -> None:
        """Take in the rows of a recording's file. `chosen`: which of its faces are meant."""
        unit, grid = self._unit(recording), self.grid
        ending = np.inf if recording.end_s is None else recording.end_s
        inside = media.times < ending
        times = media.times - recording.offset_s
        frames = _frame_means(media, chosen)
        bins = grid.bins_of(times) - grid.first_bin
        usable = inside & (bins >= 0)
        unit.bins.add(_sums(frames, bins[usable], usable, int(bins[usable].max(initial=-1)) + 1, self._sparse))
        counts = [np.bincount(media.face_frames[which], minlength=len(times)) for which in (chosen, ~chosen)]
        for index, (start, end) in enumerate(self._spans()):
            within = inside & (times >= start) & (times < end)
            sums = _sums(frames, np.zeros(int(within.sum()), np.int64), within, 1, self._sparse)
            for name in ("values", "seen", "seen_sparse", "frames"):
                getattr(unit.segments, name)[..., index] += getattr(sums, name)[..., 0]
            unit.faces[index] += counts[0][within].sum()
            unit.left_out[index] += counts[1][within].sum()
        ends = times + _durations(times, grid.width)
        unit.covered.add(times[inside], ends[inside])
        seen = inside & (counts[0] > 0)
        unit.seen.add(times[seen], ends[seen])

    @property
    def end_s(self) -> float:
        """The stimulus time at which the longest recording ends."""
        return max([0.0, *(unit.covered.end for unit in self.units.values())])

    @property
    def _sparse(self) -> list[int]:
        return [self.grid.names.index(name) for name in self.grid.sparse]

    def _spans(self) -> Iterator[tuple[float, float]]:
        yield 0.0, np.inf
        for segment in self.grid.segments:
            yield segment.start_s, segment.end_s

    def _unit(self, recording: Recording) -> Unit:
        key = recording.respondent, recording.values
        if key not in self.units:
            measures, groups = len(self.grid.names), 1 + len(self.grid.segments)
            none = np.zeros(groups, np.int64)
            self.units[key] = Unit(Sums.zeros(measures, 0), Sums.zeros(measures, groups), none, none.copy())
        return self.units[key]


def choose_faces(recording: Recording, media: MediaRows, main: int | None = None) -> NDArray[np.bool_]:
    """Which faces of a file a recording means. `main`: the track of the region that is seen longest."""
    chosen = _in_region(recording, media)
    if recording.faces.main:
        return np.asarray(chosen & (media.tracks == (-1 if main is None else main)))
    if recording.faces.track is not None:
        return np.asarray(chosen & (media.tracks == recording.faces.track))
    return chosen


def main_track(recording: Recording, media: MediaRows) -> int | None:
    """The track that is in most frames of the recording's region and time, the lower number of equals."""
    times = media.times[media.face_frames]
    inside = _in_region(recording, media) & (media.tracks >= 0)
    if recording.end_s is not None:
        inside &= times < recording.end_s
    tracks, counts = np.unique(media.tracks[inside], return_counts=True)
    return int(tracks[counts.argmax()]) if len(tracks) else None


def _in_region(recording: Recording, media: MediaRows) -> NDArray[np.bool_]:
    region = recording.faces.region
    if region is None:
        return np.ones(len(media.face_frames), bool)
    x = media.centre_x / media.widths[media.face_frames]
    y = media.centre_y / media.heights[media.face_frames]
    # A centre on the far border of the frame belongs to the region that reaches it.
    x, y = np.minimum(x, np.nextafter(1, 0)), np.minimum(y, np.nextafter(1, 0))
    return (x >= region.x) & (x < region.x + region.width) & (y >= region.y) & (y < region.y + region.height)


def _frame_means(media: MediaRows, chosen: NDArray[np.bool_]) -> Floats:
    """The means over the chosen faces of each frame, (measures, frames), NaN where there is none."""
    frames, count = media.face_frames[chosen], len(media.times)
    means = np.full((len(media.values), count), np.nan)
    for index, values in enumerate(media.values[:, chosen]):
        there = ~np.isnan(values)
        sums = np.bincount(frames[there], values[there], count)
        counts = np.bincount(frames[there], minlength=count)
        np.divide(sums, counts, out=means[index], where=counts > 0)
    return means


def _sums(
    frames: Floats, groups: NDArray[np.int64], usable: NDArray[np.bool_], count: int, sparse: Sequence[int]
) -> Sums:
    """The sums of the usable frames in their groups. What every face has is there wherever `frames` has its first
    measure."""
    sums = Sums.zeros(len(frames), count)
    values = frames[:, usable]
    there = ~np.isnan(values)
    for index in range(len(frames)):
        sums.values[index] = np.bincount(groups[there[index]], values[index][there[index]], count)
    sums.frames[:] = np.bincount(groups, minlength=count)
    sums.seen[:] = np.bincount(groups[there[0]], minlength=count)
    for index in sparse:
        sums.seen_sparse[:] = np.bincount(groups[there[index]], minlength=count)
    return sums


def _durations(times: Floats, width: float) -> Floats:
    """How long each frame stands for: until the next, unless there is a gap."""
    usual = usual_interval(times) or width
    steps = np.append(np.diff(times), usual)
    return np.where(steps > _LONGEST_INTERVAL * usual, usual, steps)
