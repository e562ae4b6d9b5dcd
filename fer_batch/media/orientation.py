"""Turn and mirror pictures upright, as EXIF's eight orientations say."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Pixel = TypeVar("Pixel", bound=np.generic)

#: EXIF's number of each orientation, by whether rows and columns are to be exchanged, and then columns and rows be
#: reversed (Exif 3.0, tag 0x0112).
_NUMBERS = {
    (False, False, False): 1,
    (False, True, False): 2,
    (False, True, True): 3,
    (False, False, True): 4,
    (True, False, False): 5,
    (True, True, False): 6,
    (True, True, True): 7,
    (True, False, True): 8,
}
_STEPS = {number: steps for steps, number in _NUMBERS.items()}


def upright(picture: NDArray[Pixel], orientation: int | None) -> NDArray[Pixel]:
    """The picture as it is meant to be seen.

    Args:
        picture: (h, w) or (h, w, 3), as it is stored.
        orientation: EXIF's number, 1 to 8; any other is taken as 1.
    """
    transposed, columns_reversed, rows_reversed = _STEPS.get(orientation or 1, _STEPS[1])
    if transposed:
        picture = picture.swapaxes(0, 1)
    if columns_reversed:
        picture = picture[:, ::-1]
    if rows_reversed:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def is_sideways(orientation: int | None) -> bool:
    """Whether width and height change places."""
    return _STEPS.get(orientation or 1, _STEPS[1])[0]


def from_display_matrix(matrix: Any) -> int:
    """EXIF's number for a video's display matrix; the nearest one where it turns by no quarter.

    Args:
        matrix: nine int32 as bytes, FFmpeg's `AV_PKT_DATA_DISPLAYMATRIX`: a stored pixel (p, q) is shown at
            (a p + c q, b p + d q), for a, b, -, c, d, - in the first two rows (ISO/IEC 14496-12, 6.2.2).
    """
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32)[:9].astype(np.int64).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _NUMBERS[False, a < 0, d < 0]
    return _NUMBERS[True, c < 0, b < 0]
