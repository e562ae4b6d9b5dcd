"""Moving pictures, by PyAV: exact times, rotation, the luma plane, and a budget for what is damaged.

Animated WebP goes by Pillow, since FFmpeg decodes only still ones. Both give the same `Picture`s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray
from PIL import Image

from fer_batch.media.image import flat
from fer_batch.records import Code, Failure, MediaError, MediaInfo, Stage

#: Errors of the demuxer or the decoder after which the rest of a file is given up.
ERROR_BUDGET = 100
#: A stream that ends this many seconds before the length its container states has lost its end.
_TRUNCATION_SLACK = Fraction(1)

#: Which frames the decoder may leave out, in FFmpeg's words: none, those no other depends on, all but key frames.
Skip = Literal["DEFAULT", "NONREF", "NONKEY"]


@dataclass(frozen=True)
class Picture:
    """A decoded frame before its pixels are asked for. `time`: seconds since the start of the stream, exact."""

    time: Fraction
    _decoded: av.VideoFrame | Image.Image

    def luma(self) -> NDArray[np.uint8]:
        """The upright gray picture, uint8 (h, w)."""
        if isinstance(self._decoded, Image.Image):
            return np.asarray(self._decoded.convert("L"))
        return upright_luma(self._decoded)

    def bgr(self, longest_side: int) -> NDArray[np.uint8]:
        """The upright picture in colour, reduced, if need be, to `longest_side`; uint8 (h, w, 3)."""
        if isinstance(self._decoded, Image.Image):
            return np.ascontiguousarray(np.asarray(self._decoded.convert("RGB"))[:, :, ::-1])
        return upright_bgr(self._decoded, longest_side)


@dataclass
class Damage:
    """What went wrong while reading one file; filled as it is read."""

    errors: int = 0
    last_error: str = ""
    without_time: int = 0
    end: Fraction | None = None
    given_up: bool = field(default=False)

    def count(self, error: Exception) -> bool:
        """Note an error; true while the budget lasts."""
        self.errors += 1
        self.last_error = " ".join(str(error).split())
        self.given_up = self.errors >= ERROR_BUDGET
        return not self.given_up


class VideoReader:
    """One video file, open for reading. Use it as a context manager."""

    def __init__(self, file: str, threads: int = 1) -> None:
        """Open the container. Raises MediaError: `invalid_data`, `no_video_stream`, `unsupported`, `unreadable`."""
        self.file, self.threads = file, threads
        self.damage = Damage()
        self._container = self._open()
        self._stream = self._video_stream()
        self._tick = self._stream.time_base or Fraction(1, 1_000_000)
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
        width, height = size or (context.width, context.height)
        return MediaInfo(width or None, height or None, self._duration(), context.name)

    def pictures(self, skip: Skip = "DEFAULT", start: float = 0.0) -> Iterator[Picture]:
        """Decoded frames in order of presentation, from `start` seconds on (and a few before it).

        Damaged stretches are passed over, up to `ERROR_BUDGET` errors. Frames without a time stamp are counted and
        left out: no time is ever made up.
        """
        self._stream.codec_context.skip_frame = skip
        sought = start > 0 and self._seek(start)
        for frame in self._frames():
            time = self._time(frame)
            if time is None:
                self.damage.without_time += 1
                continue
            if sought and time > start:  # The index led astray; only reading from the beginning is sure.
                self._reopen(skip)
                yield from self.pictures(skip)
                return
            sought = False
            self.damage.end = max(self.damage.end or time, time)
            if time >= 0:  # What lies before the start is cut away by an edit list.
                yield Picture(time, frame)

    def _time(self, frame: Any) -> Fraction | None:
        if frame.pts is None:
            return None
        if self._origin is None:
            self._origin = frame.pts
        return Fraction((frame.pts - self._origin) * self._tick)

    def loss(self, whole: bool) -> Failure | None:
        """What was lost of the file, to be kept beside what was read. `whole`: it was read to its end."""
        damage = self.damage
        if damage.errors:
            rest = "; the rest was given up" if damage.given_up else ""
            message = f"{damage.errors} errors while decoding{rest} (last: {damage.last_error})"
            return Failure(Stage.DECODE, Code.DAMAGED, message)
        slack = _TRUNCATION_SLACK + 2 * (self.frame_interval or 0)
        if whole and self.length and damage.end is not None and self.length - damage.end > slack:
            message = f"ends at {float(damage.end):.1f} s where {float(self.length):.1f} s are stated"
            return Failure(Stage.DECODE, Code.TRUNCATED, message)
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
            return av.open(self.file, metadata_errors="ignore")
        except FileNotFoundError as error:
            raise MediaError(Stage.DECODE, Code.CHANGED, "has gone since the run began") from error
        except FFmpegError as error:
            message = f"can't be opened as a video ({_reason(error)}); is it complete?"
            raise MediaError(Stage.DECODE, Code.INVALID_DATA, message) from error
        except OSError as error:
            message = f"can't be read ({_reason(error)})"
            raise MediaError(Stage.DECODE, Code.UNREADABLE, message) from error

    def _video_stream(self) -> Any:
        # A cover picture in an audio file is a video stream to FFmpeg, but no video.
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in self._container.streams.video if not stream.disposition & cover]
        if not streams:
            self._container.close()
            raise MediaError(Stage.DECODE, Code.NO_VIDEO_STREAM, "holds no video stream")
        if streams[0].codec_context is None:
            self._container.close()
            raise MediaError(Stage.DECODE, Code.UNSUPPORTED, "no decoder for its video stream")
        streams[0].codec_context.thread_count = self.threads
        streams[0].thread_type = "AUTO"
        return streams[0]

    def _duration(self) -> float | None:
        if self.length:
            return float(self.length)
        return self._container.duration / av.time_base if self._container.duration else None

    def _seek(self, start: float) -> bool:
        """Go to the key frame before `start`; false where the format can't, and reading starts at the beginning."""
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

    def _frames(self) -> Iterator[Any]:
        """Frames as the decoder gives them. A packet it can't decode costs that packet; an error of the demuxer ends
        its generator, so a new one goes on behind the error."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError as error:
                if not self.damage.count(error):
                    return
                packets = self._container.demux(self._stream)
                continue
            try:
                frames = packet.decode()
            except EOFError:
                return
            except FFmpegError as error:
                if not self.damage.count(error):
                    return
                continue
            yield from frames


class AnimatedWebpReader:
    """An animated WebP, with the interface of `VideoReader`. Its times are the sums of its frames' durations."""

    tick = Fraction(1, 1000)
    length = None

    def __init__(self, file: str) -> None:
        """Open the file. Raises MediaError `invalid_data`."""
        self.damage = Damage()
        try:
            self._image = Image.open(file)
        except Exception as error:  # Pillow raises many types on damaged files.
            raise self._invalid(error) from error

    def __enter__(self) -> AnimatedWebpReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._image.close()

    def _invalid(self, error: Exception) -> MediaError:
        return MediaError(Stage.DECODE, Code.INVALID_DATA, f"damaged picture ({error})")

    def info(self, size: tuple[int, int] | None) -> MediaInfo:
        """Size and codec; the duration is known once all has been read."""
        duration = float(self.damage.end) if self.damage.end is not None else None
        return MediaInfo(*self._image.size, duration, "webp")

    def pictures(self, skip: Skip = "DEFAULT", start: float = 0.0) -> Iterator[Picture]:
        """All frames in order; of a WebP none can be left out, but for key frames only the first is given."""
        time = Fraction(0)
        for index in range(1 if skip == "NONKEY" else getattr(self._image, "n_frames", 1)):
            try:
                self._image.seek(index)
                self._image.load()
            except Exception as error:  # As above.
                self.damage.count(error)
                return
            yield Picture(time, flat(self._image.copy()))
            time += Fraction(round(self._image.info.get("duration", 0))) * self.tick
            self.damage.end = time

    def loss(self, whole: bool) -> Failure | None:
        """What was lost of the file."""
        if not self.damage.errors:
            return None
        return Failure(Stage.DECODE, Code.DAMAGED, f"damaged picture ({self.damage.last_error})")

    def nothing_read(self) -> MediaError:
        """Why no frame was read."""
        return MediaError(Stage.DECODE, Code.INVALID_DATA, f"damaged picture ({self.damage.last_error})")


def open_video(file: str, threads: int = 1) -> VideoReader | AnimatedWebpReader:
    """Open a moving picture with the reader for it. Raises MediaError."""
    with open(file, "rb") as stream:
        header = stream.read(12)
    if header[:4] == b"RIFF" and header[8:12] == b"WEBP":
        return AnimatedWebpReader(file)
    return VideoReader(file, threads)


def upright_luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The gray picture of a PyAV frame as it is meant to be seen, uint8 (h, w).

    Where the pixel format has an 8-bit luma plane that plane is the picture and nothing is converted.
    """
    if _has_luma_plane(frame.format):
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
        luma = rows.reshape(frame.height, plane.line_size)[:, : frame.width]
    else:
        luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
    return _upright(luma, frame)


def upright_bgr(frame: av.VideoFrame, longest_side: int) -> NDArray[np.uint8]:
    """A PyAV frame in colour as it is meant to be seen, converted and reduced in one step; uint8 (h, w, 3)."""
    reduction = min(1.0, longest_side / max(frame.width, frame.height))
    width, height = (max(1, round(side * reduction)) for side in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="bgr24", interpolation="AREA")
    return _upright(small.to_ndarray(), frame)


def _upright(picture: NDArray[Any], frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Apply the rotation of the display matrix, which FFmpeg gives counter-clockwise in degrees."""
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90) % 4))


def _has_luma_plane(pixel_format: Any) -> bool:
    first = pixel_format.components[0]
    planar_yuv = not pixel_format.is_rgb and not pixel_format.has_palette and pixel_format.is_planar
    gray = pixel_format.name == "gray"
    return gray or (planar_yuv and first.is_luma and first.bits == 8)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())
