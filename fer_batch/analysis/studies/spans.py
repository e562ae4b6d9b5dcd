"""Spans of time: unions of half-open intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Spans this near to each other touch: the sums of floats between them are not exact.
_TOUCH = 1e-6


class Spans:
    """A set of seconds, as sorted intervals that do not overlap."""

    def __init__(self) -> None:
        self._starts: Floats = np.empty(0)
        self._ends: Floats = np.empty(0)

    def add(self, starts: Floats, ends: Floats) -> None:
        """Add the seconds of some intervals, in any order; they may overlap."""
        starts, ends = np.concatenate([self._starts, starts]), np.concatenate([self._ends, ends])
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], np.maximum.accumulate(ends[order])
        begins = np.ones(len(starts), bool)
        begins[1:] = starts[1:] > ends[:-1] + _TOUCH
        self._starts = starts[begins]
        self._ends = ends[np.append(np.flatnonzero(begins)[1:] - 1, len(ends) - 1)] if len(ends) else ends

    def merge(self, other: Spans) -> None:
        """Add the seconds of other spans."""
        self.add(other._starts, other._ends)

    @property
    def end(self) -> float:
        """The last second; -inf where there is none."""
        return float(self._ends[-1]) if len(self._ends) else -np.inf

    def length(self, start: float, end: float) -> float:
        """How many seconds of [start, end) are in the set."""
        return float(np.maximum(np.minimum(self._ends, end) - np.maximum(self._starts, start), 0.0).sum())


def usual_interval(times: Floats) -> float | None:
    """The median time between two neighbouring frames; None where there are no two at different times."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else None
