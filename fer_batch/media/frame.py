"""A decoded frame of a moving picture, before its pixels are asked for: luma, colour, a thumbnail."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray
from PIL import Image

from fer_batch.media.orientation import from_display_matrix, upright

#: Rows and columns of a thumbnail, and the pixels that are averaged for each of its values, down and across.
_THUMBNAIL = (9, 16)
_SAMPLES = 4


@dataclass(frozen=True)
class DecodedFrame:
    """A frame whose pixels are converted once they are asked for.

    Attributes:
        time: Seconds on the player's clock, exact.
        pixel_aspect: Width of a stored pixel over its height; what is given has square ones.
    """

    time: Fraction
    _decoded: av.VideoFrame | Image.Image
    pixel_aspect: Fraction = Fraction(1)

    def luma(self) -> NDArray[np.uint8]:
        """The upright gray picture with square pixels, uint8 (h, w).

        Where the pixel format has an 8-bit luma plane that plane is the picture and nothing is converted.
        """
        frame = self._decoded
        if isinstance(frame, Image.Image):
            return np.asarray(frame.convert("L"))
        has_plane = _has_luma_plane(frame.format)
        luma = _luma_plane(frame) if has_plane else np.asarray(frame.to_ndarray(format="gray"), np.uint8)
        if self.pixel_aspect != 1:
            size = square_size(frame.width, frame.height, self.pixel_aspect)
            shrinks = size[0] < frame.width
            luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
        return upright(luma, _orientation(frame))

    def bgr(self, longest_side: int) -> NDArray[np.uint8]:
        """The upright picture in colour, reduced, if need be, to `longest_side`; uint8 (h, w, 3)."""
        frame = self._decoded
        if isinstance(frame, Image.Image):
            return np.ascontiguousarray(np.asarray(frame.convert("RGB"))[:, :, ::-1])
        size = square_size(frame.width, frame.height, self.pixel_aspect)
        reduction = min(1.0, longest_side / max(size))
        width, height = (max(1, round(side * reduction)) for side in size)
        small = frame.reformat(width=width, height=height, format="bgr24", interpolation="AREA")
        return upright(np.asarray(small.to_ndarray(), np.uint8), _orientation(frame))

    def thumbnail(self) -> NDArray[np.uint8]:
        """The picture as 9 by 16 gray values, uint8, not turned upright: enough to see a cut by, and cheap for every
        frame."""
        rows, columns = _THUMBNAIL
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
        indices = _sample_indices(frame.height, frame.width, plane.line_size, rows, columns)
        return np.asarray(np.frombuffer(memoryview(plane), np.uint8)[indices])


def square_size(width: int, height: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Width and height of a picture once its pixels are square: as players do, the width changes."""
    if pixel_aspect == 1:  # Asked for every frame.
        return width, height
    return max(1, round(width * pixel_aspect)), height


def shown_size(frame: av.VideoFrame, pixel_aspect: Fraction) -> tuple[int, int]:
    """Width and height of a PyAV frame as a player shows it: upright, its pixels square."""
    width, height = square_size(frame.width, frame.height, pixel_aspect)
    return (height, width) if round(frame.rotation / 90) % 2 else (width, height)


@lru_cache(maxsize=8)
def _sample_indices(height: int, width: int, line_size: int, rows: int, columns: int) -> NDArray[np.intp]:
    """Where so many evenly spread pixels lie in a plane of bytes; the same for every frame of a video."""
    return np.add.outer(np.arange(rows) * height // rows * line_size, np.arange(columns) * width // columns)


def _luma_plane(frame: av.VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
    return rows.reshape(frame.height, plane.line_size)[:, : frame.width]


def _orientation(frame: av.VideoFrame) -> int:
    # Not `frame.side_data`: that keeps its container, which keeps the frame, until garbage is collected.
    side_data: Any = SideDataContainer(frame)  # type: ignore[call-arg]  # Its stub lacks it.
    matrix = side_data.get(SideDataType.DISPLAYMATRIX)
    return 1 if matrix is None else from_display_matrix(matrix)


def _has_luma_plane(pixel_format: Any) -> bool:
    first = pixel_format.components[0]
    planar_yuv = not pixel_format.is_rgb and not pixel_format.has_palette and pixel_format.is_planar
    gray = pixel_format.name == "gray"
    return gray or (planar_yuv and first.is_luma and first.bits == 8)
