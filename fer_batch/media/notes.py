"""Notes on a video that was read: what was lost of it, and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from fer_batch.media.base import ReadStats
from fer_batch.records import Code
from fer_batch.storage import open_file

Note = tuple[Code, str]

#: A stream that ends this many seconds before the end its container states has lost it.
_TRUNCATION_SLACK = Fraction(1)
#: Frames a second above which a stated rate can hardly be true, and packets from which on that is noted.
MAX_RATE, _RATE_PACKETS = 300, 100
#: Containers of broadcasts and camcorders, whose frames come steadily.
_STEADY = frozenset(["mpeg", "mpegts"])
#: FFmpeg's name of MP4, MOV and their kin.
MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
#: Containers of which FFmpeg reads no second one behind the first; bytes by which that is known, and is looked for in.
_ONE_RECORDING = frozenset([MP4, "flv", "asf"])
_START_BYTES, _BEHIND_BYTES = 12, 1 << 24


def losses(stats: ReadStats, stated_end: Fraction | None, frame_interval: Fraction, format_name: str) -> Iterator[Note]:
    """What was lost, or had to be put in order.

    Args:
        stats: Of the reading.
        stated_end: See `FrameReader`; None also where the file was not to be read to its end.
        frame_interval: Seconds from frame to frame, 0 where unknown.
        format_name: FFmpeg's name of the container.
    """
    slack = _TRUNCATION_SLACK + 2 * frame_interval
    if not stats.given_up and stated_end and stats.end is not None and stated_end - stats.end > slack:
        yield Code.TRUNCATED, f"ends at {float(stats.end):.1f} s where {float(stated_end):.1f} s are stated"
    if stats.joins:
        times = "once" if stats.joins == 1 else f"{stats.joins} times"
        yield Code.TIME_JUMPS, f"time stamps begin again {times}: counted on, as several recordings in a row"
    elif format_name == "avi" and stated_end and stats.end and stats.end - stated_end > slack:
        message = f"goes on to {float(stats.end):.1f} s where {float(stated_end):.1f} s are stated"
        yield Code.TIME_JUMPS, f"{message}: several recordings in a row"
    if stats.gaps_s and format_name in _STEADY:
        yield Code.DAMAGED, f"{float(stats.gaps_s):.1f} s are missing: time stamps jump ahead"
    if stats.errors:
        rest = "; the rest was given up" if stats.given_up else ""
        errors = "1 error" if stats.errors == 1 else f"{stats.errors} errors"
        yield Code.DAMAGED, f"{errors} while decoding{rest} (last: {stats.last_error})"


def unlikely_rate(stats: ReadStats, stated: Fraction | None, tick: Fraction) -> Iterator[Note]:
    """Whether more frames come in a second than any camera takes."""
    span = max((stats.end or Fraction(0)) - (stats.begin or Fraction(0)), tick)
    packets = stats.packets - stats.errors  # Those of a damaged stretch have no frame, and do not lengthen the span.
    if packets >= _RATE_PACKETS and packets > MAX_RATE * span:
        rate = float(stated if stated and stated > MAX_RATE else packets / span)
        yield Code.UNLIKELY_RATE, f"{rate:.0f} frames a second: its times can hardly be true"


def no_frames(stats: ReadStats) -> Note:
    """Why a stream that was read gave no frame at all."""
    if stats.errors:
        return Code.INVALID_DATA, f"no frame could be decoded ({stats.last_error})"
    if stats.without_time:
        return Code.NO_TIMESTAMPS, "the frames carry no time stamps"
    return Code.NO_FRAMES, "the video stream holds no frame"


def counted_times(rate: Fraction, stream: Any) -> Note:
    """That times were counted by `rate`, in frames a second, since the format has no time stamps."""
    by = f"{float(rate):g} frames a second"
    if stream.codec_context.framerate == rate:
        by = f"the {by} that it states"
    return Code.NO_TIMESTAMPS, f"without time stamps: times are counted by {by}"


def other_streams(stream: Any, others: int) -> Note:
    """Which stream of a container was read, and how many others that move were not."""
    context = stream.codec_context
    not_read = "1 other video stream was not" if others == 1 else f"{others} other video streams were not"
    message = f"stream {stream.index} ({context.width}x{context.height}) was read; {not_read}"
    return Code.OTHER_STREAMS, message


def next_recording(file: str, format_name: str, stats: ReadStats) -> Iterator[Note]:
    """Whether, behind the last packet, the bytes come again with which the file begins. Of joined files in formats that
    state their length FFmpeg reads the first, as players do."""
    if format_name not in _ONE_RECORDING or not stats.last_byte:
        return
    with open_file(file) as stream:
        start = stream.read(_START_BYTES)
        stream.seek(stats.last_byte)
        place = stream.read(_BEHIND_BYTES).find(start)
    if place >= 0:
        place += stats.last_byte
        yield Code.TIME_JUMPS, f"another recording begins at byte {place} and was not read; cut the file there"
