"""The packets of a file's sound, in step with its pictures where recordings were joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from fer_batch.media.base import Packet, ReadStats
from fer_batch.media.container import WITHOUT_INDEX, choose_stream, tick_of
from fer_batch.media.timeline import JUMP_S, OUTLIER_S, continuous

#: Packets of sound kept while the pictures of their recording are looked for.
_MAX_WAITING = 512
#: So many packets in a row that are ahead are right: the sound was off for a while.
_CONFIRMED = 50


def sound_packets(container: Any, sound: Any) -> Iterator[Packet]:
    """The packets of a sound stream, from where the container stands; those without a sane time stamp are left out.

    The reader of the pictures counts a recording on from the one before where two were joined (`continuous`). The sound
    moves by the same time, so that both stay in step. That can only be in formats without an index, which must be read
    from their beginning.

    Args:
        container: An open file.
        sound: Its sound stream.

    Raises:
        FFmpegError: Where the file can't be read on.
    """
    if container.format.name in WITHOUT_INDEX:
        packets = _in_step(container, sound, choose_stream(container)[0])
    else:
        packets = _demux(container, sound)
    return _without_outliers(packet for packet in packets if packet.pts is not None)


def _demux(container: Any, *streams: Any) -> Iterator[Packet]:
    """Packets as the demuxer gives them, read on behind those of a stream that damage made up: there, and at the end of
    such a file, PyAV raises IndexError, which ends its generator."""
    reading = True
    while reading:
        reading = False
        try:
            for packet in container.demux(*streams):
                reading = reading or packet.size > 0
                yield packet
        except IndexError:
            continue
        return


def _without_outliers(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets without those that are far ahead of both their neighbours."""
    latest: Fraction | None = None
    ahead: list[Packet] = []
    for packet in packets:
        time = packet.pts * packet.time_base
        if latest is not None and time > latest + OUTLIER_S and len(ahead) < _CONFIRMED:
            ahead.append(packet)
            continue
        if latest is not None and time > latest + OUTLIER_S:
            yield from ahead
        ahead = []
        latest = time
        yield packet
    yield from ahead


def _in_step(container: Any, sound: Any, video: Any) -> Iterator[Packet]:
    """The packets of the sound, their time stamps moved as those of the pictures beside them are."""
    waiting: deque[Packet] = deque()
    stamps: deque[int | None] = deque()

    def pictures() -> Iterator[Packet]:
        for packet in _demux(container, sound, video):
            if packet.stream.index == sound.index:
                waiting.append(packet)
            else:
                stamps.append(packet.dts)
                yield packet

    shift = of_pictures = Fraction(0)
    latest: Fraction | None = None
    for picture in continuous(pictures(), tick_of(video), ReadStats()):
        if (stamp := stamps.popleft()) is not None and picture.dts is not None:
            of_pictures = (picture.dts - stamp) * tick_of(video)
        while waiting:
            packet = waiting[0]
            if packet.pts is not None:
                time = packet.pts * packet.time_base
                if latest is not None and time + shift < latest - JUMP_S:
                    if shift == of_pictures and len(waiting) < _MAX_WAITING:
                        break  # The pictures of the recording that this packet belongs to are still to come.
                    shift = of_pictures
                if latest is None or time + shift <= latest + OUTLIER_S:
                    latest = time + shift
                packet.pts += round(shift / packet.time_base)
            yield waiting.popleft()
    yield from waiting
