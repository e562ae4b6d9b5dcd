"""Moving pictures, by PyAV: exact times on the player's clock, upright, and read on past what is damaged.

`open_video` takes animated WebP to its own reader, which has the same interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from typing import Any, Self

import av
from av.error import FFmpegError

from fer_batch.media.base import FrameReader, Packet, ReadStats, Skip, SkipDecisions, SkipPlan
from fer_batch.media.container import (
    SPLITTABLE,
    WITHOUT_INDEX,
    PixelAspect,
    choose_stream,
    clock_start,
    counting_rate,
    open_container,
    stated_end,
    tick_of,
)
from fer_batch.media.frame import DecodedFrame, shown_size, square_size
from fer_batch.media.missing_end import missing_end
from fer_batch.media.notes import counted_times, losses, next_recording, no_frames, other_streams, unlikely_rate
from fer_batch.media.recorded import from_container
from fer_batch.media.timeline import continuous, from_group_before
from fer_batch.media.webp import AnimatedWebpReader
from fer_batch.records import Failure, MediaError, MediaInfo, Stage
from fer_batch.storage import read_start

#: Reads in a row that may fail before the rest of a file is given up.
MAX_READ_ERRORS = 100
#: Packets that any file may have.
_MAX_PACKETS = 1_000_000


class VideoReader:
    """One video file, open for reading; see `FrameReader`."""

    def __init__(self, file: str) -> None:
        """Open the container. Raises MediaError: `changed`, `invalid_data`, `no_video_stream`, `unsupported`,
        `too_large` or `unreadable`."""
        self.file = file
        self.stats = ReadStats()
        self._size: tuple[int, int] | None = None
        self._open()

    def _open(self) -> None:
        self._container = open_container(self.file)
        try:
            self._stream, self._other_streams = choose_stream(self._container)
        except MediaError:
            self._container.close()
            raise
        self._tick = tick_of(self._stream)
        self._aspect = PixelAspect(self._container, self._stream)
        self._start_pts = self._stream.start_time
        self._clock_start = clock_start(self._container, self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def tick(self) -> Fraction:
        """The resolution of the stream's time stamps, in seconds."""
        return self._tick

    @property
    def clock_start(self) -> Fraction:
        """The time stamp, in seconds, that is 0 on the player's clock."""
        return self._clock_start or Fraction(0)

    @property
    def stated_end(self) -> Fraction | None:
        """Seconds on the player's clock at which the stream ends by its container; None where that states none."""
        return stated_end(self._container, self._stream, self._start_pts, self._clock_start)

    @property
    def _is_counted(self) -> bool:
        """Whether the format has no time stamps, so that times are counted by the rate: H.264 without a container."""
        return bool(self._container.format.flags & av.format.Flags.no_timestamps.value)

    def info(self, size: tuple[int, int] | None) -> MediaInfo:
        """What the container says; see `FrameReader`."""
        context = self._stream.codec_context
        width, height = size or self._size or square_size(context.width, context.height, self._aspect())
        if not context.width:
            width = height = 0
        return MediaInfo(
            width or None,
            height or None,
            self._duration(),
            context.codec.canonical_name,
            from_container(self._container.metadata, self._stream.metadata),
            self._stream.index,
        )

    def _duration(self) -> float | None:
        stated = self.stated_end
        if stated is None and not self._is_counted:  # MPEG program streams are only estimated.
            stated = Fraction(self._container.duration or 0, av.time_base)
        return float(max(stated or 0, self.stats.end or 0)) or None

    def key_frames(self, times: Iterable[Fraction]) -> list[Fraction]:
        """The time of the last key frame at or before each of `times`, ascending, none twice. No more of `times` are
        drawn once the index ends, whatever length the file states. Empty where the file can't be read from all of them
        on, and only reading it from its beginning is sure."""
        if self._container.format.name not in SPLITTABLE or self._clock_start is None:
            return []
        found: list[Fraction] = []
        with closing(open_container(self.file)) as container:  # A seek must not show in what this reader gives.
            stream = container.streams[self._stream.index]
            for time in times:
                try:
                    container.seek(self._pts(time), stream=stream, backward=True)
                    packet = next(container.demux(stream))
                except (FFmpegError, StopIteration):
                    return []
                if packet.pts is None or not packet.is_keyframe or packet.is_corrupt or packet.is_discard:
                    return []
                key_time = self._seconds(packet.pts)
                # Without an index, seeking means reading, or ends where reading has come to. FFmpeg keeps it in order.
                if key_time > time or not (entries := stream.index_entries):
                    return []
                if entries[-1].timestamp < (packet.pts if packet.dts is None else packet.dts):
                    return []
                if self._seconds(entries[-1].timestamp) < time:
                    break
                if key_time > (found[-1] if found else 0):
                    found.append(key_time)
        return found

    def frames(
        self, skip: Skip = "DEFAULT", start: float | Fraction = 0, plan: SkipPlan | None = None
    ) -> Iterator[DecodedFrame]:
        """Decoded frames in order of presentation, from `start` seconds on (and a few before it).

        `plan` takes the place of `skip` where time stamps are sure and leaving frames out can't change others: in
        H.264 the stream says of each which it is. Damaged stretches are passed over. Frames without a time stamp are
        counted and left out: no time is made up. Only where the whole format has none, frames are counted instead.
        """
        if self._is_counted:
            yield from self._counted_frames(skip)
            return
        self._stream.codec_context.skip_frame = skip
        sought = start > 0 and self._seek(start)
        aspect = None
        for frame in self._decode(self._packets(0 if sought else start), skip, plan):
            if frame.pts is None:
                self.stats.without_time += 1
                continue
            time = self._seconds(frame.pts)
            if sought and time > start:
                break
            sought = False
            if aspect is None or frame.key_frame:
                aspect = self._aspect()
            self._size = shown_size(frame, aspect)
            if self.stats.begin is None:
                self.stats.begin = time
            end = time + (frame.duration or 0) * self._tick
            self.stats.end = max(self.stats.end or end, end)
            if frame.pts >= (self._start_pts or 0):  # What lies before the start is cut away by an edit list.
                yield DecodedFrame(time, frame, aspect)
        if sought:  # The index led astray, or behind the last key frame; only reading from the beginning is sure.
            self._reopen(skip)
            self.stats = ReadStats()
            yield from self.frames(skip)  # Without the plan: it has been asked about some of it already.

    def _counted_frames(self, skip: Skip) -> Iterator[DecodedFrame]:
        """Frames of a format without time stamps. All are decoded, or counting them would not tell the time."""
        interval = 1 / counting_rate(self._stream)
        for number, frame in enumerate(self._decode(self._demux(), "DEFAULT", None)):
            aspect, time = self._aspect(), number * interval
            self._size = shown_size(frame, aspect)
            self.stats.end = time + interval
            if skip != "NONKEY" or frame.key_frame:
                yield DecodedFrame(time, frame, aspect)

    def _seconds(self, pts: int) -> Fraction:
        """Seconds on the player's clock."""
        if self._clock_start is None:  # The container states no start: that of the first frame.
            self._start_pts, self._clock_start = pts, pts * self._tick
        return pts * self._tick - self._clock_start

    def _pts(self, seconds: float | Fraction) -> int:
        return int((Fraction(seconds) + (self._clock_start or 0)) / self._tick)

    def partial_failure(self, read_to_end: bool) -> Failure | None:
        """What was lost of the file, or is odd about it, the worst first, to be kept beside what was read."""
        stats, rate, name = self.stats, self._stream.average_rate, self._container.format.name
        found = [*losses(stats, self.stated_end if read_to_end else None, 1 / rate if rate else Fraction(0), name)]
        if read_to_end:
            found += next_recording(self.file, name, stats)
        if self._is_counted:
            found.append(counted_times(counting_rate(self._stream), self._stream))
        else:
            found += unlikely_rate(stats, rate, self._tick)
        if self._other_streams:
            found.append(other_streams(self._stream, self._other_streams))
        if not found:
            return missing_end(self.file) if read_to_end else None
        return Failure(Stage.DECODE, found[0][0], "; ".join(message for _, message in found))

    def no_frames_error(self) -> MediaError:
        """Why a file that opened gave no frame at all."""
        return MediaError(Stage.DECODE, *no_frames(self.stats))

    def _seek(self, start: float | Fraction) -> bool:
        """Go to the key frame before `start`; false where the format can't, and reading starts at the beginning."""
        if self._container.format.name in WITHOUT_INDEX:
            return False
        try:
            self._container.seek(self._pts(start), stream=self._stream, backward=True)
        except FFmpegError:
            self._reopen(self._stream.codec_context.skip_frame)
            return False
        return True

    def _reopen(self, skip: Skip) -> None:
        self._container.close()
        self._open()
        self._stream.codec_context.skip_frame = skip

    def _decode(self, packets: Iterator[Packet], skip: Skip, plan: SkipPlan | None) -> Iterator[Any]:
        """Frames as the decoder gives them. A packet it can't decode costs that packet."""
        context = self._stream.codec_context
        for packet, decision in self._with_decisions(packets, skip, plan):
            if packet.is_corrupt:
                self.stats.count_error(ValueError("corrupt packet"))
            if decision is None:
                continue
            try:
                context.skip_frame = decision
                frames = packet.decode()
            except EOFError:
                return
            except FFmpegError as error:
                self.stats.count_error(error)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.stats.count_error(ValueError("corrupt frame"))
                yield frame

    def _packets(self, start: float | Fraction) -> Iterator[Packet]:
        """Packets whose time stamps run on, those of groups of pictures before `start` left out."""
        packets = continuous(self._demux(), self._tick, self.stats)
        return from_group_before(packets, self._pts(start)) if start > 0 else packets

    def _demux(self) -> Iterator[Packet]:
        """Packets as the demuxer gives them. An error ends its generator, so a new one goes on behind the error.

        A packet takes a byte at least, and an edit list can repeat some; a demuxer that gives far more of them than the
        file has bytes goes round in circles."""
        packets = self._container.demux(self._stream)
        errors = 0
        for _ in range(max(self._container.size, _MAX_PACKETS)):
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (FFmpegError, IndexError) as error:  # PyAV's IndexError: damage made up another stream.
                errors += 1
                if errors == MAX_READ_ERRORS:
                    self.stats.give_up(str(error))
                    return
                self.stats.count_error(error)
                packets = self._container.demux(self._stream)
                continue
            errors = 0
            self.stats.packets += 1
            self.stats.last_byte = max(self.stats.last_byte, (packet.pos or 0) + packet.size)
            yield packet
        self.stats.give_up("it does not come to an end")

    def _with_decisions(self, packets: Iterator[Packet], skip: Skip, plan: SkipPlan | None) -> SkipDecisions:
        """Packets with what the decoder is to leave out at each; None where it need not see it."""
        is_h264 = self._stream.codec_context.codec.name == "h264"
        sure = is_h264 and self._container.format.name in SPLITTABLE and self._clock_start is not None
        if plan is None or not sure:
            return ((packet, skip) for packet in packets)
        return plan(packets, self._seconds)


def open_video(file: str) -> FrameReader:
    """Open a moving picture with the reader for it. Raises MediaError."""
    header = read_start(file, 12)
    if header[:4] == b"RIFF" and header[8:12] == b"WEBP":
        return AnimatedWebpReader(file)
    return VideoReader(file)
