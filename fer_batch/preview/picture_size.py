"""The size at which pictures are drawn."""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.media.frame import DecodedFrame

#: Narrower pictures are enlarged, larger ones reduced, so that text can be read and a file can be played.
_LEAST_WIDTH, _LONGEST_SIDE = 320, 3840


def sized(picture: DecodedFrame, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A decoded frame at the size at which it is drawn, or at another, width and height; uint8 (h, w, 3), BGR, which
    may be drawn into."""
    return resized(picture.bgr(_LONGEST_SIDE), size)


def resized(picture: NDArray[np.uint8], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """As `sized`, of a picture, uint8 (h, w, 3), BGR."""
    width, height = size or _drawn_size(picture.shape[1], picture.shape[0])
    if picture.shape[:2] == (height, width):
        return picture if picture.flags.writeable else picture.copy()
    interpolation = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), np.uint8)


def _drawn_size(width: int, height: int) -> tuple[int, int]:
    scale = min(max(1, ceil(_LEAST_WIDTH / width)), _LONGEST_SIDE / max(width, height))
    # Two at least: videos are written with even sides.
    return max(2, round(width * scale)), max(2, round(height * scale))
