"""Choose frames of a video by their presentation time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Protocol, TypeVar

from fer_batch.config import Sampling
from fer_batch.records import Section


class Timed(Protocol):
    """Anything with a presentation time: seconds since the start of the stream, exact."""

    @property
    def time(self) -> Fraction:
        """Seconds."""
        ...


T = TypeVar("T", bound=Timed)


class TooSparse(Exception):
    """Raised by fast sampling where no frame lies near enough; the file must be sampled exactly."""


def select(
    pictures: Iterable[T],
    sampling: Sampling,
    tick: Fraction,
    length: Fraction | None = None,
    section: Section | None = None,
) -> Iterator[T]:
    """The pictures to look at, out of all that were decoded, in order.

    `tick`: resolution of the time stamps in seconds; a frame that rounding puts one tick before its due time still
    counts. `length`: the stated length of the stream in seconds. Stops reading at `sampling.end`. Raises TooSparse
    (fast sampling only).

    `section`: choose within it as if all had been read; `pictures` begin at its start. That first one belongs to the
    section before and only tells what was chosen there; fast sampling may give it nevertheless, as that one may.
    """
    section = section or Section()
    ranged = _up_to(_in_range(pictures, sampling), section.end)
    begin = exact(sampling.start)
    interval = 1 / exact(sampling.fps)
    if sampling.mode == "fps" and sampling.fast:
        if section.start is not None:
            begin += (floor((section.start - begin) / interval) + 1) * interval
        end = None if sampling.end is None else exact(sampling.end)
        last = min((limit for limit in (length, end) if limit is not None), default=None)
        return _nearest(ranged, begin, interval, last if section.end is None else None)
    chosen: Iterator[T] = ranged  # Of key frames alone: the reader was told to give no others.
    if sampling.mode == "every":
        chosen = (picture for index, picture in enumerate(ranged) if index % sampling.every == 0)
    elif sampling.mode == "fps":
        due = _FirstDue(sampling, tick)
        chosen = (picture for picture in ranged if due(picture.time))
    return chosen if section.start is None else _behind(chosen, section.start)


def can_split(sampling: Sampling) -> bool:
    """Whether a section can be sampled without knowing those before it: to count frames, one would have to."""
    return sampling.mode != "every" or sampling.every == 1


def exact(value: float) -> Fraction:
    """The number as it was written: 0.1 means one tenth, not the nearest binary fraction."""
    return Fraction(str(value))


def _in_range(pictures: Iterable[T], sampling: Sampling) -> Iterator[T]:
    start, end = exact(sampling.start), None if sampling.end is None else exact(sampling.end)
    for picture in pictures:
        if end is not None and picture.time >= end:
            return
        if picture.time >= start:
            yield picture


def _up_to(pictures: Iterable[T], end: Fraction | None) -> Iterator[T]:
    """The pictures up to and with that at `end`."""
    for picture in pictures:
        if end is not None and picture.time > end:
            return
        yield picture
        if picture.time == end:
            return


def _behind(pictures: Iterator[T], start: Fraction) -> Iterator[T]:
    return (picture for picture in pictures if picture.time > start)


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


def wanted(sampling: Sampling, tick: Fraction) -> Callable[[Fraction], bool]:
    """Tells of frames by their times, asked for in their order, whether exact sampling by time takes one."""
    begin, due = exact(sampling.start), _FirstDue(sampling, tick)
    return lambda time: time >= begin and due(time)


def last_wanted(sampling: Sampling) -> Callable[[Fraction, Fraction], tuple[Fraction, Fraction] | None]:
    """Between two key frames, by their times, the earliest and the latest time for the last frame that fast sampling
    needs besides them: the first key frame's, if it does for all that is due. None where that is not known."""
    begin, interval = exact(sampling.start), 1 / exact(sampling.fps)
    end = None if sampling.end is None else exact(sampling.end)
    near = interval / 4

    def span(key: Fraction, following: Fraction) -> tuple[Fraction, Fraction] | None:
        if end is not None and following >= end:  # It will not be looked at.
            return None
        last = begin + (ceil((following - near - begin) / interval) - 1) * interval
        return (key, key) if last <= max(key + near, begin - interval) else (last - near, last + near)

    return span


def _nearest(pictures: Iterable[T], start: Fraction, interval: Fraction, end: Fraction | None) -> Iterator[T]:
    """For each due time the nearest picture. Raises TooSparse if one is more than a quarter of the interval away."""
    due = start
    before: T | None = None
    given: T | None = None
    for picture in pictures:
        while picture.time >= due:
            near = picture if before is None or picture.time - due <= due - before.time else before
            if abs(near.time - due) > interval / 4:
                raise TooSparse
            if near is not given:
                yield near
                given = near
            due += interval
        before = picture
    # The frames behind the last due time may all have been ones the decoder left out.
    if before is not None and before is not given and end is not None and due < end:
        if due - before.time > interval / 4:
            raise TooSparse
        yield before
