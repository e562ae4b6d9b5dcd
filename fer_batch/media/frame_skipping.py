"""Which packets of a video the decoder may skip: decided before decoding, from their time stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

from fer_batch.media.base import Packet, SkipDecisions, ToSeconds

#: Packets looked at together, at most. Encoders rarely put key frames further apart.
_MAX_GROUP = 512
#: Where packets are parted within a group of pictures, so many on either side may lie in another order than their
#: frames are shown in; H.264 allows 16.
_REORDERED = 16


def skip_unneeded(
    packets: Iterable[Packet], to_seconds: ToSeconds, is_needed: Callable[[Fraction], bool]
) -> SkipDecisions:
    """Skip frames that are not needed, provided that frames which others depend on are decoded anyway.

    Args:
        packets: In decode order.
        to_seconds: Turns a time stamp into seconds.
        is_needed: Asked in presentation order, with seconds. Where that order is not sure, frames count as needed.
    """
    parted = False
    for group, complete in _groups(packets):
        stamps = [packet.pts for packet in group if packet.size and not packet.is_discard]
        known = [stamp for stamp in stamps if stamp is not None]
        needed = {stamp for stamp in sorted(known) if is_needed(to_seconds(stamp))}
        sure = range(_REORDERED if parted else 0, len(group) - (0 if complete else _REORDERED))
        unknown = len(known) < len(stamps)
        for index, packet in enumerate(group):
            yield packet, "DEFAULT" if unknown or index not in sure or packet.pts in needed else "NONREF"
        parted = not complete


def skip_after_last(
    packets: Iterable[Packet],
    to_seconds: ToSeconds,
    last_needed: Callable[[Fraction, Fraction], tuple[Fraction, Fraction] | None],
) -> SkipDecisions:
    """Skip frames that no other depends on and, in each group of pictures, all behind the last that is needed.

    Args:
        packets: In decode order.
        to_seconds: Turns a time stamp into seconds.
        last_needed: Given the times of a group's key frame and of the next one, the earliest and the latest time that
            the last needed frame of the group may have; None where the whole group is needed.
    """
    previous: list[Packet] = []
    for group, complete in _groups(packets):
        yield from _until(_index_of_last(previous, group, to_seconds, last_needed), previous)
        previous = group
        if not complete:  # More of the group comes next.
            yield from _until(None, previous)
            previous = []
    yield from _until(None, previous)


def _until(last: int | None, group: Sequence[Packet]) -> SkipDecisions:
    for index, packet in enumerate(group):
        if last is None or index < last:
            yield packet, "NONREF"
        else:
            yield packet, "DEFAULT" if index == last else None


def _index_of_last(
    group: Sequence[Packet],
    following: Sequence[Packet],
    to_seconds: ToSeconds,
    last_needed: Callable[[Fraction, Fraction], tuple[Fraction, Fraction] | None],
) -> int | None:
    """The index in a group of the last packet that has to be decoded, None where all have."""
    both = [*group, *(packet for packet in following if packet.size)]
    if not group or not group[0].is_keyframe or any(packet.pts is None or packet.is_discard for packet in both):
        return None  # Without time stamps, or across a cut of an edit list, which frame is the last is unknown.
    key, next_key = group[0].pts, following[0].pts
    # Leading pictures of the next group, shown before its key frame, may depend on any frame of this one.
    if min(packet.pts for packet in both[len(group) :]) < next_key:
        return None
    if (bounds := last_needed(to_seconds(key), to_seconds(next_key))) is None:
        return None
    # No frame depends on one that follows it in decode order.
    index = next((index for index, packet in enumerate(group) if to_seconds(packet.pts) >= bounds[0]), None)
    return index if index is not None and to_seconds(group[index].pts) <= bounds[1] else None


def _groups(packets: Iterable[Packet]) -> Iterator[tuple[list[Packet], bool]]:
    """Packets from one key frame to the next, and whether they are all of those."""
    group: list[Packet] = []
    for packet in packets:
        begins = packet.is_keyframe and packet.size
        if group and (begins or len(group) >= _MAX_GROUP):
            yield group, bool(begins)
            group = []
        group.append(packet)
    if group:
        yield group, True
