"""Time stamps that run on: where recordings were joined, and where damage made one absurd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from fer_batch.media.base import ReadStats

#: PyAV's packet, of a kind of stream that its stubs name.
Packet = Any
#: Seconds by which time stamps may run backwards, in decode order, before another recording counts as begun.
JUMP_S = 1
#: Seconds by which a single time stamp may be ahead of both its neighbours before it counts as damaged.
OUTLIER_S = 10
#: Seconds by which time stamps may run ahead before some of the stream counts as missing.
_GAP_S = 2
#: Packets kept while the group of pictures that holds the start is looked for; encoders rarely make longer groups.
_MAX_WAITING = 512


def continuous(packets: Iterable[Packet], tick: Fraction, stats: ReadStats) -> Iterator[Packet]:
    """The packets with time stamps that do not jump back.

    Recordings that were joined, such as two MPEG transport streams by `cat`, begin again at their own start; the later
    one is counted on from the end of the one before, as players do, and `stats.joins` says how often. A single packet
    that is far ahead of both its neighbours loses its time stamps: they are damaged, and none is made up. What an edit
    list cuts away is decoded and never shown, so its time stamps, which may lie anywhere, do not count.

    Args:
        packets: In decode order, as the demuxer gives them; their time stamps are changed in place.
        tick: Seconds per unit of the time stamps.
        stats: Counts joins and gaps.
    """
    jump, outlier, gap = int(JUMP_S / tick), int(OUTLIER_S / tick), int(_GAP_S / tick)
    offset, latest, step = 0, None, 0
    for packet, following in _with_following(packets):
        stamp = _stamp(packet)
        if stamp is None:
            yield packet
            continue
        after = None if following is None else _stamp(following)
        if latest is None:
            latest = stamp
        elif (
            stamp + offset > latest + outlier and after is not None and latest - jump <= after + offset < latest + jump
        ):
            packet.pts = packet.dts = None
            yield packet
            continue
        elif stamp + offset < latest - jump:
            offset = latest + step - stamp
            stats.joins += 1
        elif stamp + offset > latest:
            if stamp + offset - latest > gap:
                stats.gaps_s += (stamp + offset - latest) * tick
            step = min(stamp + offset - latest, jump)
        latest = max(latest, stamp + offset)
        if offset:
            packet.pts = None if packet.pts is None else packet.pts + offset
            packet.dts = None if packet.dts is None else packet.dts + offset
        yield packet


def _stamp(packet: Packet) -> int | None:
    """What tells a packet's time in decode order; None where it has none, or is not shown."""
    if packet.is_discard:
        return None
    dts: int | None = packet.dts
    return packet.pts if dts is None else dts


def _with_following(packets: Iterable[Packet]) -> Iterator[tuple[Packet, Packet | None]]:
    """Each packet with the one after it."""
    previous: Packet | None = None
    for packet in packets:
        if previous is not None:
            yield previous, packet
        previous = packet
    if previous is not None:
        yield previous, None


def from_group_before(packets: Iterable[Packet], start: int) -> Iterator[Packet]:
    """The packets from the group of pictures on that holds `start`, so that what lies before it is never decoded.

    Args:
        packets: In decode order.
        start: A time stamp (pts).
    """
    remaining = iter(packets)
    waiting: list[Packet] = []
    for packet in remaining:
        begins = packet.is_keyframe and packet.pts is not None
        if begins and packet.pts <= start:
            waiting = []
        waiting.append(packet)
        if (begins and packet.pts > start) or len(waiting) > _MAX_WAITING:
            break
    yield from waiting
    yield from remaining
