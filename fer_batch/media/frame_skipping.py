"""Which packets of a video hold frames that are asked for: told before decoding, from their time stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from fer_batch.media.picture import Skip

#: PyAV's packet, of a kind of stream that its stubs name.
Packet = Any
#: Seconds since the start of the stream, from a time stamp (pts).
Time = Callable[[int], Fraction]
#: Every packet, and what the decoder may leave out at it; None where it need not see the packet at all.
Told = Iterator[tuple[Packet, Skip | None]]
#: What is asked for, of packets whose time stamps are known a group of pictures ahead.
Plan = Callable[[Iterable[Packet], Time], Told]
#: Packets looked at together, at most. Encoders rarely put key frames further apart.
_MOST = 512
#: Where packets are parted within a group of pictures, so many on either side may lie in another order than their
#: frames are shown in; H.264 allows 16.
_REORDERED = 16


def with_need(packets: Iterable[Packet], time: Time, wanted: Callable[[Fraction], bool]) -> Told:
    """Leave out frames that are not wanted, provided that frames others depend on are decoded anyway.

    `wanted` is asked in the order in which frames are shown, with their times in seconds. Where that order is not
    sure, frames count as wanted.
    """
    parted = False
    for group, complete in _groups(packets):
        stamps = [packet.pts for packet in group if packet.size]
        known = [stamp for stamp in stamps if stamp is not None]
        needed = {stamp for stamp in sorted(known) if wanted(time(stamp))}
        sure = range(_REORDERED if parted else 0, len(group) - (0 if complete else _REORDERED))
        unknown = len(known) < len(stamps)
        for place, packet in enumerate(group):
            yield packet, "DEFAULT" if unknown or place not in sure or packet.pts in needed else "NONREF"
        parted = not complete


def up_to_last(
    packets: Iterable[Packet],
    time: Time,
    span: Callable[[Fraction, Fraction], tuple[Fraction, Fraction] | None],
) -> Told:
    """Leave out frames that no other needs and, of each group of pictures, all behind the last that is asked for.

    `span`: told the times of a group's key frame and of the next in seconds, the earliest and the latest that the last
    frame of the group may have; None where the whole group is asked for.
    """
    before: list[Packet] = []
    for group, complete in _groups(packets):
        yield from _until(_last_asked_for(before, group, time, span), before)
        before = group
        if not complete:  # More of the group comes next.
            yield from _until(None, before)
            before = []
    yield from _until(None, before)


def _until(last: int | None, group: Sequence[Packet]) -> Told:
    for place, packet in enumerate(group):
        if last is None or place < last:
            yield packet, "NONREF"
        else:
            yield packet, "DEFAULT" if place == last else None


def _last_asked_for(
    group: Sequence[Packet],
    following: Sequence[Packet],
    time: Time,
    span: Callable[[Fraction, Fraction], tuple[Fraction, Fraction] | None],
) -> int | None:
    """The place in a group of the last packet that has to be decoded, None where all have."""
    both = [*group, *(packet for packet in following if packet.size)]
    if not group or not group[0].is_keyframe or any(packet.pts is None for packet in both):
        return None
    key, after = group[0].pts, following[0].pts
    # What is shown before the next key frame, though it lies behind it in the file, may depend on any of this group.
    if min(packet.pts for packet in both[len(group) :]) < after or (bounds := span(time(key), time(after))) is None:
        return None
    # No frame depends on one that lies behind it in the file.
    place = next((place for place, packet in enumerate(group) if time(packet.pts) >= bounds[0]), None)
    return place if place is not None and time(group[place].pts) <= bounds[1] else None


def _groups(packets: Iterable[Packet]) -> Iterator[tuple[list[Packet], bool]]:
    """Packets from one key frame to the next, and whether they are all of those."""
    group: list[Packet] = []
    for packet in packets:
        begins = packet.is_keyframe and packet.size
        if group and (begins or len(group) >= _MOST):
            yield group, bool(begins)
            group = []
        group.append(packet)
    if group:
        yield group, True
