"""Writes a video with sound as MP4, frame by frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fer_batch.media.base import Packet
from fer_batch.preview.sound import Sound
from fer_batch.storage import for_ffmpeg

#: Encoders by preference: H.264 by libx264, which not every FFmpeg holds, else MPEG-4 Part 2.
ENCODERS = ("libx264", "mpeg4")
_OPTIONS = {"libx264": {"preset": "veryfast", "crf": "21"}, "mpeg4": {"qmin": "3", "qmax": "5"}}
#: Resolution of time stamps. MPEG-4 Part 2 allows no finer one than 1/65535 s.
_TICK = Fraction(1, 60_000)
#: Seconds that a frame is shown where it is the only one, and nothing tells how long.
_ONLY_LASTS = Fraction(1, 25)
#: The file's tag for what it is made of.
_TAG = "comment"


def encoder() -> str:
    """The name of the video encoder that this FFmpeg has."""
    return next((name for name in ENCODERS if name in av.codecs_available), ENCODERS[-1])


def signature_of_video(path: Path) -> str | None:
    """What a video was made of, as `VideoWriter` was told; None for another file. Raises OSError or ValueError where it
    can't be read."""
    with av.open(for_ffmpeg(str(path)), metadata_errors="ignore") as container:
        return container.metadata.get(_TAG)


class VideoWriter:
    """An MP4 file under way. A context manager; the file is whole once it was left without an error."""

    def __init__(self, path: Path, size: tuple[int, int], signature: str, sound: Sound | None) -> None:
        """Begin a file.

        Args:
            path: Where, whatever its suffix.
            size: Width and height in pixels; odd ones lose their last column or row, as H.264 wants.
            signature: What the file is made of; see `signature_of_video`.
            sound: Its sound.
        """
        # The index goes first, so that browsers begin to play while they load.
        self._output = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._output.metadata[_TAG] = signature
        name = encoder()
        stream = self._output.add_stream(name, rate=Fraction(25), options=_OPTIONS[name])
        assert isinstance(stream, VideoStream)
        self._stream = stream
        self._stream.width, self._stream.height = (side // 2 * 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        self._stream.time_base = context.time_base = _TICK
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        context.color_range = 1  # Limited
        self._sound = sound
        if sound is not None:
            sound.attach(self._output)
        self._last, self._lasts = -1, round(_ONLY_LASTS / _TICK)
        self._held: list[Packet] = []

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                if self._sound is not None:
                    self._sound.write_until(None)
                self._write_rest()
        finally:
            self._output.close()

    def write(self, picture: NDArray[np.uint8], time: Fraction) -> None:
        """Add a frame: uint8 (h, w, 3), BGR, shown from `time` seconds on; times must ascend."""
        if self._sound is not None:
            self._sound.write_until(time)
        height, width = self._stream.height, self._stream.width
        # The frame shares the picture's memory, which the conversion reads before this returns.
        whole = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(picture[:height, :width]), format="bgr24")
        frame = whole.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        pts = max(round(time / _TICK), self._last + 1)
        if self._last >= 0:
            self._lasts = pts - self._last
        frame.pts, frame.time_base = pts, _TICK
        self._last = pts
        packets = [*self._held, *self._stream.encode(frame)]
        self._output.mux(packets[:-1])
        self._held = packets[-1:]

    def end_at(self, time: Fraction, limit: Fraction | None) -> None:
        """Say when the last frame, which has been written, ends; without it, it is shown as long as the one before.

        Args:
            time: Its end in seconds; where that is no later than its beginning, it is shown as long as the one before.
            limit: Second at which it ends at the latest; None for no limit.
        """
        if (lasts := round(time / _TICK) - self._last) > 0:
            self._lasts = lasts
        if limit is not None:
            self._lasts = max(1, min(self._lasts, round(limit / _TICK) - self._last))

    def _write_rest(self) -> None:
        """Write what the encoder holds back. The length of the last frame is that of the last packet in the file."""
        packets = [*self._held, *self._stream.encode(None)]
        for packet in packets:  # Of the others, the next packet tells the length.
            packet.duration = self._lasts
        self._output.mux(packets)
