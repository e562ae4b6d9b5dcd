"""Choose frames of a video by their presentation time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Protocol, TypeVar

from fer_batch.config import Sampling
from fer_batch.records import Section


class Timed(Protocol):
    """Anything with a presentation time."""

    @property
    def time(self) -> Fraction:
        """Seconds on the player's clock, exact."""
        ...


T = TypeVar("T", bound=Timed)


class FramesTooSparseError(Exception):
    """Raised by fast sampling where no frame lies near enough to a due time: the file must be sampled exactly."""


def select(
    frames: Iterable[T],
    sampling: Sampling,
    tick: Fraction,
    stated_end: Fraction | None = None,
    section: Section | None = None,
) -> Iterator[T]:
    """Choose the frames to look at, out of all that were decoded. Stops reading at `sampling.end`.

    Args:
        frames: In order of their times.
        sampling: Which are wanted.
        tick: Resolution of the time stamps in seconds; a frame that rounding puts one tick before its due time still
            counts.
        stated_end: Seconds at which the video ends by what it states.
        section: Choose within it as if all had been read; `frames` begin at its start. That first one belongs to the
            section before and only tells what was chosen there; fast sampling may give it nevertheless, as that one
            may.

    Raises:
        FramesTooSparseError: Fast sampling only.
    """
    section = section or Section()
    in_range = _up_to(_in_range(frames, sampling), section.end)
    begin = exact(sampling.start)
    interval = 1 / exact(sampling.fps)
    if sampling.mode == "fps" and sampling.fast:
        if section.start is not None:
            begin += (floor((section.start - begin) / interval) + 1) * interval
        end = None if sampling.end is None else exact(sampling.end)
        last = min((limit for limit in (stated_end, end) if limit is not None), default=None)
        return _nearest(in_range, begin, interval, last if section.end is None else None)
    chosen: Iterator[T] = in_range  # Of key frames alone: the reader was told to give no others.
    if sampling.mode == "every":
        chosen = (frame for index, frame in enumerate(in_range) if index % sampling.every == 0)
    elif sampling.mode == "fps":
        due = _FirstDue(sampling, tick)
        chosen = (frame for frame in in_range if due(frame.time))
    return chosen if section.start is None else _after(chosen, section.start)


def can_split(sampling: Sampling) -> bool:
    """Whether a section can be sampled without knowing those before it: to count frames, one would have to."""
    return sampling.mode != "every" or sampling.every == 1


def exact(value: float) -> Fraction:
    """The number as it was written: 0.1 means one tenth, not the nearest binary fraction."""
    return Fraction(str(value))


def _in_range(frames: Iterable[T], sampling: Sampling) -> Iterator[T]:
    start, end = exact(sampling.start), None if sampling.end is None else exact(sampling.end)
    for frame in frames:
        if end is not None and frame.time >= end:
            return
        if frame.time >= start:
            yield frame


def _up_to(frames: Iterable[T], end: Fraction | None) -> Iterator[T]:
    """The frames up to and with that at `end`."""
    for frame in frames:
        if end is not None and frame.time > end:
            return
        yield frame
        if frame.time == end:
            return


def _after(frames: Iterator[T], start: Fraction) -> Iterator[T]:
    return (frame for frame in frames if frame.time > start)


class _FirstDue:
    """For each due time start + k x interval the first frame at or after it and before the next; none is given twice,
    and where a gap swallows a due time there is no sample: no time is made up. Ask for the times in their order."""

    def __init__(self, sampling: Sampling, tick: Fraction) -> None:
        self._start, self._interval, self._tick = exact(sampling.start), 1 / exact(sampling.fps), tick
        self._reached = -1

    def __call__(self, time: Fraction) -> bool:
        # The last due time before time + tick: a whole tick early is no rounding.
        reached = ceil((time + self._tick - self._start) / self._interval) - 1
        due = reached > self._reached
        self._reached = max(reached, self._reached)
        return due


def is_due(sampling: Sampling, tick: Fraction) -> Callable[[Fraction], bool]:
    """A function that tells of frames by their times, asked for in their order, whether exact sampling by time takes
    one."""
    begin, due = exact(sampling.start), _FirstDue(sampling, tick)
    return lambda time: time >= begin and due(time)


def last_due(sampling: Sampling) -> Callable[[Fraction, Fraction], tuple[Fraction, Fraction] | None]:
    """A function that tells, between two key frames by their times, the earliest and the latest time for the last frame
    that fast sampling needs besides them: the first key frame's, if it does for all that is due. None where that is not
    known."""
    begin, interval = exact(sampling.start), 1 / exact(sampling.fps)
    end = None if sampling.end is None else exact(sampling.end)
    near = interval / 4

    def bounds(key: Fraction, next_key: Fraction) -> tuple[Fraction, Fraction] | None:
        if end is not None and next_key >= end:  # It will not be looked at.
            return None
        last = begin + (ceil((next_key - near - begin) / interval) - 1) * interval
        return (key, key) if last <= max(key + near, begin - interval) else (last - near, last + near)

    return bounds


def _nearest(frames: Iterable[T], start: Fraction, interval: Fraction, end: Fraction | None) -> Iterator[T]:
    """For each due time the nearest frame. Raises FramesTooSparseError if one is more than a quarter of the interval
    away."""
    due = start
    previous: T | None = None
    last_given: T | None = None
    for frame in frames:
        while frame.time >= due:
            nearest = frame if previous is None or frame.time - due <= due - previous.time else previous
            if abs(nearest.time - due) > interval / 4:
                raise FramesTooSparseError
            if nearest is not last_given:
                yield nearest
                last_given = nearest
            due += interval
        previous = frame
    # The frames behind the last due time may all have been ones the decoder left out.
    if previous is not None and previous is not last_given and end is not None and due < end:
        if due - previous.time > interval / 4:
            raise FramesTooSparseError
        yield previous
