"""Which packets of a video hold frames that are asked for: told before decoding, from their time stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

#: PyAV's packet, of a kind of stream that its stubs name.
Packet = Any
#: Packets looked at together, at most. Encoders rarely put key frames further apart.
_MOST = 512
#: Where packets are parted within a group of pictures, so many on either side may lie in another order than their
#: frames are shown in; H.264 allows 16.
_REORDERED = 16


def with_need(packets: Iterable[Packet], wanted: Callable[[int], bool]) -> Iterator[tuple[Packet, bool]]:
    """Every packet, and whether its frame is needed, provided that frames others depend on are decoded anyway.

    `wanted` is asked in the order in which frames are shown, with their time stamps (pts). Where that order is not
    sure, frames count as needed.
    """
    parted = False
    for group, complete in _groups(packets):
        stamps = [packet.pts for packet in group if packet.size]
        known = [stamp for stamp in stamps if stamp is not None]
        needed = {stamp for stamp in sorted(known) if wanted(stamp)}
        sure = range(_REORDERED if parted else 0, len(group) - (0 if complete else _REORDERED))
        unknown = len(known) < len(stamps)
        for place, packet in enumerate(group):
            yield packet, unknown or place not in sure or packet.pts in needed
        parted = not complete


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
