"""What the readers of moving pictures share: decoded frames, and a tally of what was damaged."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Errors of the demuxer or the decoder after which the rest of a file is given up.
ERROR_BUDGET = 100
#: Which frames the decoder may leave out, in FFmpeg's words: none, those no other depends on, all but key frames.
Skip = Literal["DEFAULT", "NONREF", "NONKEY"]
_GLIMPSE = (9, 16)
#: Pixels looked at for each value of a glimpse, down and across.
_SAMPLES = 4


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

    def glimpse(self) -> NDArray[np.uint8]:
        """The scene as 9 by 16 gray values, not turned upright: enough to see a cut by, and cheap for every frame."""
        rows, columns = _GLIMPSE
        pixels = self._gray_samples(_SAMPLES * rows, _SAMPLES * columns)
        return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)

    def _gray_samples(self, rows: int, columns: int) -> NDArray[np.uint8]:
        """Gray values of so many pixels, evenly spread over the frame."""
        frame = self._decoded
        if isinstance(frame, Image.Image):
            return np.asarray(frame.convert("L").resize((columns, rows), Image.Resampling.NEAREST))
        if not _has_luma_plane(frame.format):
            small = frame.reformat(width=columns, height=rows, format="gray", interpolation="POINT")
            return np.asarray(small.to_ndarray(), np.uint8)
        plane = frame.planes[0]
        places = _places(frame.height, frame.width, plane.line_size, rows, columns)
        return np.asarray(np.frombuffer(memoryview(plane), np.uint8)[places])

    def bgr(self, longest_side: int) -> NDArray[np.uint8]:
        """The upright picture in colour, reduced, if need be, to `longest_side`; uint8 (h, w, 3)."""
        if isinstance(self._decoded, Image.Image):
            return np.ascontiguousarray(np.asarray(self._decoded.convert("RGB"))[:, :, ::-1])
        return upright_bgr(self._decoded, longest_side)


@lru_cache(maxsize=8)
def _places(height: int, width: int, line: int, rows: int, columns: int) -> NDArray[np.intp]:
    """Where so many evenly spread pixels lie in a plane of bytes; the same for every frame of a video."""
    return np.add.outer(np.arange(rows) * height // rows * line, np.arange(columns) * width // columns)


@dataclass
class Damage:
    """What went wrong while reading one file; filled as it is read. `jumps`: frames whose time had passed already."""

    errors: int = 0
    last_error: str = ""
    without_time: int = 0
    jumps: int = 0
    end: Fraction | None = None
    given_up: bool = False

    def count(self, error: Exception) -> bool:
        """Note an error; true while the budget lasts."""
        self.errors += 1
        self.last_error = " ".join(str(error).split())
        self.given_up = self.errors >= ERROR_BUDGET
        return not self.given_up

    def give_up(self, reason: str) -> None:
        """Note why nothing more is read."""
        self.count(ValueError(reason))
        self.given_up = True


def upright_luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The gray picture of a PyAV frame as it is meant to be seen, uint8 (h, w).

    Where the pixel format has an 8-bit luma plane that plane is the picture and nothing is converted.
    """
    has_plane = _has_luma_plane(frame.format)
    luma = _luma_plane(frame) if has_plane else np.asarray(frame.to_ndarray(format="gray"), np.uint8)
    return _upright(luma, frame)


def _luma_plane(frame: av.VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
    return rows.reshape(frame.height, plane.line_size)[:, : frame.width]


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
