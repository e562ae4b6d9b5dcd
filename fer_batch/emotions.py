"""The seven apparent expressions, in the order of FER2013's label numbers. The only list of them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", bound=np.floating)

EMOTIONS: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

#: The six classes of the original project: disgust is counted as angry.
EMOTIONS_MERGED: tuple[str, ...] = tuple(name for name in EMOTIONS if name != "disgust")

#: Expressions that count against `valence`.
NEGATIVE: tuple[str, ...] = ("angry", "disgust", "fear", "sad")


def merge_disgust(probabilities: NDArray[Float]) -> NDArray[Float]:
    """Add disgust's probability to angry and drop its column.

    Takes an array of shape (..., 7) in the order of `EMOTIONS` and returns one of shape (..., 6) in
    the order of `EMOTIONS_MERGED`; rows keep their sum.
    """
    angry, disgust = EMOTIONS.index("angry"), EMOTIONS.index("disgust")
    merged = probabilities.copy()
    merged[..., angry] += merged[..., disgust]
    return np.asarray(np.delete(merged, disgust, axis=-1))
