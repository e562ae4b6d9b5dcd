"""Open a video's container by PyAV: which of its streams to read, where its clock begins, how wide its pixels are."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.error import FFmpegError

from fer_batch.media.image import MAX_PIXELS
from fer_batch.media.notes import MAX_RATE, MP4
from fer_batch.records import Code, MediaError, Stage
from fer_batch.storage import for_ffmpeg

#: Containers with an index that leads to every key frame, and time stamps that do not depend on where reading began.
SPLITTABLE = frozenset([MP4, "matroska,webm"])
#: Containers without an index: a seek searches the bytes, which joined recordings lead astray.
WITHOUT_INDEX = frozenset(["mpeg", "mpegts"])
#: Seconds of a time stamp's unit where a stream states none: FFmpeg's own.
_DEFAULT_TICK = Fraction(1, av.time_base)
#: What FFmpeg assumes for streams that state no rate.
_ASSUMED_RATE = Fraction(25)
#: Pictures that are video streams to FFmpeg, but no video: a cover, thumbnails, a still.
_STILL = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails | av.stream.Disposition.still_image
#: Seconds of sound before 0 that are an encoder's priming: decoded, and not played.
_PRIMING_S = 1
#: Pixels wider or taller than this, width over height, are a mistake: no camera and no broadcast has them.
_MAX_PIXEL_ASPECT = 4
_AVIF_SEQUENCE = "avis"


def open_container(file: str) -> Any:
    """Open a file with FFmpeg.

    Raises:
        MediaError: `changed`, `invalid_data` or `unreadable`.
    """
    try:
        container = av.open(for_ffmpeg(file), metadata_errors="ignore")
    except FileNotFoundError as error:
        raise MediaError(Stage.DECODE, Code.CHANGED, "has gone since the run began") from error
    except FFmpegError as error:
        message = f"can't be opened as a video ({_reason(error)}); is it complete?"
        raise MediaError(Stage.DECODE, Code.INVALID_DATA, message) from error
    except OSError as error:
        raise MediaError(Stage.DECODE, Code.UNREADABLE, f"can't be read ({_reason(error)})") from error
    if container.format.name == "concat":  # A text that lists other files.
        container.close()
        raise MediaError(Stage.DECODE, Code.INVALID_DATA, "a list of files, no video")
    return container


def choose_stream(container: Any) -> tuple[Any, int]:
    """The video stream to read: of several the largest that moves.

    Returns:
        The stream, and how many others move. Its decoder uses one thread: with more, FFmpeg gives other frames of a
        damaged file, and rows would depend on the machine.

    Raises:
        MediaError: `no_video_stream`, `unsupported` or `too_large`.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _STILL]
    if not streams:
        raise MediaError(Stage.DECODE, Code.NO_VIDEO_STREAM, "holds no video stream")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise MediaError(Stage.DECODE, Code.UNSUPPORTED, "no decoder for its video stream")
    moving = [stream for stream in decodable if _moves(container, stream)]
    if container.metadata.get("major_brand") == _AVIF_SEQUENCE:
        moving = moving[:1]  # The one behind it is the transparency of the same pictures.
    stream = max(moving or decodable, key=lambda stream: _rank(container, stream))
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise MediaError(Stage.DECODE, Code.TOO_LARGE, "more pixels than the limit; make it smaller")
    context.thread_count = 1
    return stream, max(0, len(moving) - 1)


def _moves(container: Any, stream: Any) -> bool:
    frames = _frame_count(stream)
    if container.format.name == MP4 and not frames:  # The still picture in a moving AVIF has no length.
        return bool(stream.duration)
    return not frames or frames > 1.5


def _rank(container: Any, stream: Any) -> tuple[bool, float, int]:
    """A stream's place among several: the one flagged as default, then pixels times frames, then the first."""
    # In MP4 the flag says that a track is enabled; muxers set it for the first, whatever that is.
    flagged = container.format.name != MP4 and bool(stream.disposition & av.stream.Disposition.default)
    context = stream.codec_context
    return flagged, context.width * context.height * (_frame_count(stream) or 1), -stream.index


def _frame_count(stream: Any) -> float:
    """How many frames a stream states; 0 where it states none."""
    if stream.frames:
        return float(stream.frames)
    seconds = tagged_end(stream)
    if seconds is None and stream.duration and stream.time_base:
        seconds = stream.duration * stream.time_base
    return float((seconds or 0) * (stream.average_rate or 0))


def tagged_end(stream: Any) -> Fraction | None:
    """The end of a stream in seconds by Matroska's tag, on the container's own clock."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds.rstrip("\0"))
    except (KeyError, ValueError):
        return None


def tick_of(stream: Any) -> Fraction:
    """The resolution of a stream's time stamps, in seconds."""
    return stream.time_base or _DEFAULT_TICK


def stated_end(container: Any, stream: Any, start_pts: int | None, clock_start: Fraction | None) -> Fraction | None:
    """Seconds on the player's clock at which a stream ends by its container; None where that states none.

    By Matroska's tag, by the stream's length, or, where the stream is alone, by the container's length.

    Args:
        container: What holds the stream.
        stream: The video stream.
        start_pts: The time stamp at which the stream starts, in its own units.
        clock_start: The time stamp, in seconds, that is 0 on the player's clock.
    """
    if container.format.name in WITHOUT_INDEX:  # No container states it there; FFmpeg guesses.
        return None
    begin = clock_start or Fraction(0)
    if (end := tagged_end(stream)) is not None:  # FFmpeg gives the first stream the container's length.
        return end - begin
    if stream.duration:
        return Fraction(((start_pts or 0) + stream.duration) * tick_of(stream) - begin)
    if len(container.streams) == 1 and container.duration:
        return Fraction(container.duration, av.time_base)
    return None


def counting_rate(stream: Any) -> Fraction:
    """Frames a second by which times are counted where a format has no time stamps."""
    stated: Fraction | None = stream.codec_context.framerate
    return stated if stated is not None and 1 <= stated <= MAX_RATE else _ASSUMED_RATE


def clock_start(container: Any, video: Any) -> Fraction | None:
    """Where a player's clock begins: the start of the earliest stream, in seconds of the container's time stamps; None
    where the video states no start."""
    if video.start_time is None:
        return None
    starts = [Fraction(video.start_time * video.time_base)]
    for stream in container.streams.audio:
        if stream.start_time is not None and stream.time_base:
            start = Fraction(stream.start_time * stream.time_base)
            starts.append(Fraction(0) if -_PRIMING_S < start < 0 else start)
    return min(starts)


class PixelAspect:
    """How wide the stored pixels of a video stream are: by the container, or, where that leaves it to the codec, by the
    codec, which may change its mind in mid-stream."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._context = stream.codec_context
        stated = stream.sample_aspect_ratio
        self._by_codec = not stated or stated == self._context.sample_aspect_ratio
        self._stated = _sane(stated)
        # Browsers and viewers ignore the one byte that GIF has for it.
        self._ignored = container.format.name == "gif"

    def __call__(self) -> Fraction:
        """Width over height of a pixel, now."""
        if self._ignored:
            return Fraction(1)
        return _sane(self._context.sample_aspect_ratio) if self._by_codec else self._stated


def _sane(aspect: Fraction | None) -> Fraction:
    if not aspect or not Fraction(1, _MAX_PIXEL_ASPECT) <= aspect <= _MAX_PIXEL_ASPECT:
        return Fraction(1)
    return Fraction(aspect)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())
