"""Moving pictures, by PyAV: exact times, rotation, the luma plane, and a budget for what is damaged.

`open_video` takes animated WebP to its own reader, which has the same interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from typing import Any

import av
from av.error import FFmpegError

from fer_batch.media.frame_skipping import Plan, Told
from fer_batch.media.gif import missing_end
from fer_batch.media.image import MAX_PIXELS
from fer_batch.media.picture import Damage, Picture, Skip
from fer_batch.media.webp import AnimatedWebpReader
from fer_batch.records import Code, Failure, MediaError, MediaInfo, Stage
from fer_batch.storage import for_ffmpeg, read_start

#: A stream that ends this many seconds before the length its container states has lost its end.
_TRUNCATION_SLACK = Fraction(1)
#: Containers with an index that leads to every key frame, and time stamps that do not depend on where reading began.
_SPLITTABLE = frozenset(["mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"])
#: Seconds by which time may run backwards from frame to frame before it counts as a jump.
_JUMP = Fraction(1)
#: Packets that any file may have.
_MOST_PACKETS = 1_000_000


class VideoReader:
    """One video file, open for reading. Use it as a context manager."""

    def __init__(self, file: str) -> None:
        """Open the container. Raises MediaError: `invalid_data`, `no_video_stream`, `unsupported`, `unreadable`."""
        self.file = file
        self.damage = Damage()
        self._container = self._open()
        self._stream = self._video_stream()
        self._tick = self._stream.time_base or Fraction(1, 1_000_000)
        #: Width and height of the upright picture, once one was read.
        self.size: tuple[int, int] | None = None
        self._origin = self._stream.start_time

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def tick(self) -> Fraction:
        """The resolution of the stream's time stamps, in seconds."""
        return self._tick

    @property
    def origin(self) -> Fraction:
        """The time stamp, in seconds, that is 0 on the clock of the pictures."""
        return (self._origin or 0) * self._tick

    @property
    def length(self) -> Fraction | None:
        """The stated length of the video stream in seconds, None where the container states none."""
        return self._stream.duration * self._tick if self._stream.duration else None

    @property
    def frame_interval(self) -> Fraction | None:
        """The stated average time between frames in seconds, None where the container states none."""
        rate = self._stream.average_rate
        return 1 / rate if rate else None

    def info(self, size: tuple[int, int] | None) -> MediaInfo:
        """What the container says; `size` is that of an upright picture, if one was read."""
        context = self._stream.codec_context
        width, height = size or self.size or (context.width, context.height)
        return MediaInfo(width or None, height or None, self._duration(), context.codec.canonical_name)

    def key_frames(self, times: Iterable[Fraction]) -> list[Fraction]:
        """The time of the last key frame at or before each of `times`, ascending, none twice. No more of `times` are
        drawn once the index ends, whatever length the file states. Empty where the file can't be read from all of them
        on, and only reading it from its beginning is sure."""
        if self._container.format.name not in _SPLITTABLE or self._origin is None:
            return []
        found: list[Fraction] = []
        with closing(self._open()) as container:  # A seek must not show in what this reader gives.
            stream = container.streams[self._stream.index]
            for time in times:
                try:
                    container.seek(int(time / self._tick) + self._origin, stream=stream, backward=True)
                    packet = next(container.demux(stream))
                except (FFmpegError, StopIteration):
                    return []
                if packet.pts is None or not packet.is_keyframe or packet.is_corrupt:
                    return []
                there = (packet.pts - self._origin) * self._tick
                # Without an index, seeking means reading, or ends where reading has come to. FFmpeg keeps it in order.
                if there > time or not (entries := stream.index_entries):
                    return []
                if entries[-1].timestamp < (packet.pts if packet.dts is None else packet.dts):
                    return []
                if (entries[-1].timestamp - self._origin) * self._tick < time:
                    break
                if there > (found[-1] if found else 0):
                    found.append(there)
        return found

    def pictures(
        self, skip: Skip = "DEFAULT", start: float | Fraction = 0, plan: Plan | None = None
    ) -> Iterator[Picture]:
        """Decoded frames in order of presentation, from `start` seconds on (and a few before it).

        `plan`: takes the place of `skip` where time stamps are sure and leaving frames out can't change others: in
        H.264 the stream says of each which it is.
        Damaged stretches are passed over, up to `ERROR_BUDGET` errors. Frames without a time stamp are counted and
        left out: no time is ever made up.
        """
        self._stream.codec_context.skip_frame = skip
        sought = start > 0 and self._seek(start)
        latest = Fraction(0)
        for frame in self._frames(skip, plan):
            time = self._time(frame.pts)
            if time is None:
                self.damage.without_time += 1
                continue
            if sought and time > start:
                break
            sought = False
            self.size = _upright_size(frame)
            self.damage.jumps += latest - time > _JUMP
            latest = max(latest, time)
            end = time + (frame.duration or 0) * self._tick
            self.damage.end = max(self.damage.end or end, end)
            if time >= 0:  # What lies before the start is cut away by an edit list.
                yield Picture(time, frame)
        if sought:  # The index led astray, or behind the last key frame; only reading from the beginning is sure.
            self._reopen(skip)
            self.damage = Damage()
            yield from self.pictures(skip)  # Without the plan: it has been asked about some of it already.

    def _time(self, stamp: int | None) -> Fraction | None:
        if stamp is None:
            return None
        if self._origin is None:
            self._origin = stamp
        return Fraction((stamp - self._origin) * self._tick)

    def loss(self, whole: bool) -> Failure | None:
        """What was lost of the file, to be kept beside what was read. `whole`: it was read to its end."""
        damage = self.damage
        slack = _TRUNCATION_SLACK + 2 * (self.frame_interval or 0)
        stated = self._stated_length()
        if whole and not damage.given_up and stated and damage.end is not None and stated - damage.end > slack:
            message = f"ends at {float(damage.end):.1f} s where {float(stated):.1f} s are stated"
            return Failure(Stage.DECODE, Code.TRUNCATED, message)
        if damage.jumps:
            message = f"time jumps back: {damage.jumps} frames lie where others were already; cut it there, or remux it"
            return Failure(Stage.DECODE, Code.TIME_JUMPS, message)
        if damage.errors:
            rest = "; the rest was given up" if damage.given_up else ""
            message = f"{damage.errors} errors while decoding{rest} (last: {damage.last_error})"
            return Failure(Stage.DECODE, Code.DAMAGED, message)
        return missing_end(self.file) if whole else None

    def _stated_length(self) -> Fraction | None:
        """The length of the video stream by the stream, by Matroska's tag, or, where it is alone, by the container."""
        if self._container.format.name in ("mpeg", "mpegts"):  # No container states it there; FFmpeg guesses.
            return None
        if self.length:
            return self.length
        if tag := self._stream.metadata.get("DURATION"):
            try:
                hours, minutes, seconds = tag.split(":")
                return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds.rstrip("\0"))
            except ValueError:
                return None
        if len(self._container.streams) == 1 and self._container.duration:
            return Fraction(self._container.duration, av.time_base)
        return None

    def nothing_read(self) -> MediaError:
        """Why a file that opened gave no frame at all."""
        if self.damage.errors:
            message = f"no frame could be decoded ({self.damage.last_error})"
            return MediaError(Stage.DECODE, Code.INVALID_DATA, message)
        if self.damage.without_time:
            return MediaError(Stage.DECODE, Code.NO_TIMESTAMPS, "the frames carry no time stamps")
        return MediaError(Stage.DECODE, Code.NO_FRAMES, "the video stream holds no frame")

    def _open(self) -> Any:
        try:
            container = av.open(for_ffmpeg(self.file), metadata_errors="ignore")
        except FileNotFoundError as error:
            raise MediaError(Stage.DECODE, Code.CHANGED, "has gone since the run began") from error
        except FFmpegError as error:
            message = f"can't be opened as a video ({_reason(error)}); is it complete?"
            raise MediaError(Stage.DECODE, Code.INVALID_DATA, message) from error
        except OSError as error:
            message = f"can't be read ({_reason(error)})"
            raise MediaError(Stage.DECODE, Code.UNREADABLE, message) from error
        if container.format.name == "concat":  # A text that lists other files.
            container.close()
            raise MediaError(Stage.DECODE, Code.INVALID_DATA, "a list of files, no video")
        return container

    def _video_stream(self) -> Any:
        # A cover picture in an audio file is a video stream to FFmpeg, but no video.
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in self._container.streams.video if not stream.disposition & cover]
        if self._container.format.name.startswith("mov,"):  # A moving AVIF begins with its first picture, of no length.
            streams.sort(key=lambda stream: not stream.duration)
        if not streams:
            self._container.close()
            raise MediaError(Stage.DECODE, Code.NO_VIDEO_STREAM, "holds no video stream")
        if streams[0].codec_context is None:
            self._container.close()
            raise MediaError(Stage.DECODE, Code.UNSUPPORTED, "no decoder for its video stream")
        context = streams[0].codec_context
        if context.width * context.height > MAX_PIXELS:
            self._container.close()
            raise MediaError(Stage.DECODE, Code.TOO_LARGE, "more pixels than the limit; make it smaller")
        # One thread: with more, FFmpeg gives other frames of a damaged file, and rows would depend on the machine.
        context.thread_count = 1
        return streams[0]

    def _duration(self) -> float | None:
        stated = self.length or Fraction(self._container.duration or 0, av.time_base)
        return float(max(stated, self.damage.end or 0)) or None  # MPEG program streams are only estimated.

    def _seek(self, start: float | Fraction) -> bool:
        """Go to the key frame before `start`; false where the format can't, and reading starts at the beginning."""
        if self._container.format.name == "mpeg":  # Not every picture has a time there; guesses differ after a seek.
            return False
        target = int(Fraction(start) / self._tick) + (self._origin or 0)
        try:
            self._container.seek(target, stream=self._stream, backward=True)
        except FFmpegError:
            self._reopen(self._stream.codec_context.skip_frame)
            return False
        return True

    def _reopen(self, skip: Skip) -> None:
        self._container.close()
        self._container = self._open()
        self._stream = self._video_stream()
        self._stream.codec_context.skip_frame = skip

    def _frames(self, skip: Skip, plan: Plan | None) -> Iterator[Any]:
        """Frames as the decoder gives them. A packet it can't decode costs that packet."""
        context = self._stream.codec_context
        for packet, told in self._told(skip, plan):
            if packet.is_corrupt and not self.damage.count(ValueError("corrupt packet")):
                return
            if told is None:
                continue
            try:
                context.skip_frame = told
                frames = packet.decode()
            except EOFError:
                return
            except FFmpegError as error:
                if not self.damage.count(error):
                    return
                continue
            for frame in frames:
                if frame.is_corrupt and not self.damage.count(ValueError("corrupt frame")):
                    return
                yield frame

    def _packets(self) -> Iterator[Any]:
        """Packets as the demuxer gives them. An error ends its generator, so a new one goes on behind the error.

        A packet takes a byte at least, and an edit list can repeat some; a demuxer that gives far more of them than the
        file has bytes goes round in circles."""
        packets = self._container.demux(self._stream)
        for _ in range(max(self._container.size, _MOST_PACKETS)):
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError as error:
                if not self.damage.count(error):
                    return
                packets = self._container.demux(self._stream)
                continue
            yield packet
        self.damage.give_up("it does not come to an end")

    def _told(self, skip: Skip, plan: Plan | None) -> Told:
        """Packets, and what the decoder is to leave out at each; None where it need not see it."""
        packets, tick, origin = self._packets(), self._tick, self._origin
        sure = self._stream.codec_context.codec.name == "h264" and self._container.format.name in _SPLITTABLE
        if plan is None or origin is None or not sure:
            return ((packet, skip) for packet in packets)
        return plan(packets, lambda stamp: (stamp - origin) * tick)


def open_video(file: str) -> VideoReader | AnimatedWebpReader:
    """Open a moving picture with the reader for it. Raises MediaError."""
    header = read_start(file, 12)
    if header[:4] == b"RIFF" and header[8:12] == b"WEBP":
        return AnimatedWebpReader(file)
    return VideoReader(file)


def _upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    return (frame.height, frame.width) if round(frame.rotation / 90) % 2 else (frame.width, frame.height)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())
