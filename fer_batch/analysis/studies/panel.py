"""The values of respondents, side by side: what all tables of a study are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.analysis.studies.collection import Collection, Sums, Unit
from fer_batch.analysis.studies.design import BASELINE, Segment
from fer_batch.analysis.studies.inference import Floats
from fer_batch.analysis.studies.spans import Spans

#: A respondent reacts where expressiveness is above the own baseline mean by this many of its standard deviations.
_REACTING_DEVIATIONS = 2.0


class Panel:
    """The respondents of one stimulus, or those of them under one factor value, each once.

    What was recorded of a respondent in several recordings is pooled, frame by frame. Values are (respondents, ...) in
    the order of `respondents`, NaN where a respondent has no face. `segments` has the whole stimulus at index 0, as
    None.
    """

    def __init__(self, collection: Collection, units: Sequence[tuple[str, Unit]]) -> None:
        """`units`: the respondents' names and what they showed; a name may be there several times."""
        self.grid = collection.grid
        self.end_s = collection.end_s
        self.segments: tuple[Segment | None, ...] = (None, *self.grid.segments)
        self.respondents = sorted({name for name, _ in units})
        self._units: dict[str, list[Unit]] = {name: [] for name in self.respondents}
        for name, unit in units:
            self._units[name].append(unit)

    @cached_property
    def bins(self) -> int:
        """How many bins there are from the grid's first one on: up to the end of the longest recording."""
        return max(0, int(np.ceil(round(self.end_s / self.grid.width, 6)))) - self.grid.first_bin

    @cached_property
    def starts(self) -> Floats:
        """Where the bins begin, in seconds of stimulus time."""
        return np.asarray((np.arange(self.bins) + self.grid.first_bin) * self.grid.width)

    @cached_property
    def baseline(self) -> int | None:
        """The index of the baseline among `segments`."""
        names = [segment and segment.name for segment in self.segments]
        return names.index(BASELINE) if BASELINE in names else None

    def curve(self, measure: str) -> Floats:
        """The mean of a measure in each bin, (respondents, bins)."""
        index = self.grid.names.index(measure)
        sums, counts = np.zeros((2, len(self.respondents), self.bins))
        for row, name in enumerate(self.respondents):
            for unit in self._units[name]:
                got = min(unit.bins.values.shape[1], self.bins)
                sums[row, :got] += unit.bins.values[index, :got]
                counts[row, :got] += self._counts(unit.bins, measure)[:got]
        return _divide(sums, counts)

    def presence(self) -> Floats:
        """The share of frames with a face in each bin, (respondents, bins); NaN where there was no frame."""
        seen, frames = np.zeros((2, len(self.respondents), self.bins))
        for row, name in enumerate(self.respondents):
            for unit in self._units[name]:
                got = min(len(unit.bins.frames), self.bins)
                seen[row, :got] += unit.bins.seen[:got]
                frames[row, :got] += unit.bins.frames[:got]
        return _divide(seen, frames)

    def segment_means(self, measure: str) -> Floats:
        """The mean of a measure over the frames with a face in each segment, (respondents, segments)."""
        index = self.grid.names.index(measure)
        sums = self._total(lambda unit: unit.segments.values[index])
        return _divide(sums, self._total(lambda unit: self._counts(unit.segments, measure)))

    def segment_changes(self, measure: str) -> Floats:
        """The same minus each respondent's own baseline mean; NaN without a baseline, and in the baseline itself."""
        means = self.segment_means(measure)
        if self.baseline is None:
            return np.full_like(means, np.nan)
        changes = means - means[:, self.baseline, None]
        changes[:, self.baseline] = np.nan
        return changes

    def segment_counts(self) -> dict[str, NDArray[np.int64]]:
        """Frames, frames with a face, faces and faces left out, each (respondents, segments)."""
        return {
            "frames": self._total(lambda unit: unit.segments.frames).astype(np.int64),
            "frames_with_faces": self._total(lambda unit: unit.segments.seen).astype(np.int64),
            "faces": self._total(lambda unit: unit.faces).astype(np.int64),
            "faces_left_out": self._total(lambda unit: unit.left_out).astype(np.int64),
        }

    def recordings(self) -> list[int]:
        """How many recordings there are of each respondent."""
        return [sum(unit.recordings for unit in self._units[name]) for name in self.respondents]

    def missing_seconds(self) -> Floats:
        """The seconds of each segment in which no recording shows the respondent's face, (respondents, segments)."""
        missing = np.zeros((len(self.respondents), len(self.segments)))
        for row, name in enumerate(self.respondents):
            seen = Spans()
            for unit in self._units[name]:
                seen.merge(unit.seen)
            for column, segment in enumerate(self.segments):
                start, end = self.span(segment)
                missing[row, column] = max(0.0, end - start - seen.length(start, end))
        return missing.round(6)

    def span(self, segment: Segment | None) -> tuple[float, float]:
        """Start and end of a segment, of the whole stimulus for None."""
        return (0.0, self.end_s) if segment is None else (segment.start_s, segment.end_s)

    def bins_of(self, segment: Segment | None) -> NDArray[np.bool_]:
        """Which bins are of a segment."""
        if segment is None:
            return self.starts >= 0
        return self.grid.bins_in(segment, self.bins)

    def reference(self, measure: str) -> Floats:
        """What a respondent's curve is compared with, (respondents,): the own baseline mean, or without a baseline the
        own mean over the stimulus."""
        return self.segment_means(measure)[:, self.baseline or 0]

    def reacting(self) -> Floats:
        """Whether each respondent reacts in each bin, 1 or 0; NaN where it is unknown. Reacting is an expressiveness
        above the own reference by two standard deviations of the own bins there."""
        curve = self.curve("expressiveness")
        some = curve[:, self.bins_of(self.segments[self.baseline or 0])]
        there = ~np.isnan(some)
        means = _divide(np.where(there, some, 0.0).sum(axis=1), there.sum(axis=1))
        squares = np.where(there, (some - means[:, None]) ** 2, 0.0).sum(axis=1)
        deviation = np.sqrt(_divide(squares, np.maximum(there.sum(axis=1) - 1, 0)))
        limit = (self.reference("expressiveness") + _REACTING_DEVIATIONS * deviation)[:, None]
        return np.where(np.isnan(curve) | np.isnan(limit), np.nan, curve > limit)

    def _counts(self, sums: Sums, measure: str) -> NDArray[np.int64]:
        return sums.seen_sparse if measure in self.grid.sparse else sums.seen

    def _total(self, part: Callable[[Unit], NDArray[Any]]) -> Floats:
        """A part of what was recorded, summed over the recordings of each respondent, (respondents, segments)."""
        total = np.zeros((len(self.respondents), len(self.segments)))
        for row, name in enumerate(self.respondents):
            for unit in self._units[name]:
                total[row] += part(unit)
        return total


def _divide(sums: Floats, counts: NDArray[Any]) -> Floats:
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))
