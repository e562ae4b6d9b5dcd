"""Random faces to train on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.training.emotion.dataset import Faces


def labelled(images: NDArray[np.uint8], usages: list[str]) -> Faces:
    n = len(images)
    return Faces(images, np.arange(n) % 7, np.array(usages), np.full((n, 10), np.nan, np.float32))
