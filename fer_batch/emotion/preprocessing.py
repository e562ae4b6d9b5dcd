"""From a 48x48 gray crop to a network's input; training and inference share it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

CROP_SIZE = 48

#: uint8 (n, 48, 48) to float32 (n, side, side, 1), the side being the network's.
Preprocess = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def standardize(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give every crop zero mean and unit variance.

    This removes brightness, contrast and the limited range of video luma (16..235), so that a photograph and a video
    frame of one face look the same to the network. A crop of a single gray value becomes all zeros.

    Args:
        crops: uint8 (n, h, w).

    Returns:
        float32 (n, h, w, 1).
    """
    pixels = crops.reshape(len(crops), crops.shape[1] * crops.shape[2]).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    deviation = pixels.std(axis=1, keepdims=True)
    pixels /= np.maximum(deviation, 1.0)
    return pixels.reshape(*crops.shape, 1)


def unit_range(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Map 0..255 to 0..1. Takes uint8 (n, h, w), returns float32 (n, h, w, 1)."""
    return (crops.astype(np.float32) / 255.0)[..., None]


#: Named in a model folder's config.json under `preprocessing`; uint8 (n, h, w) to float32 (n, h, w, 1).
PREPROCESSING: dict[str, Preprocess] = {"standardize": standardize, "unit_range": unit_range}


def preprocessing(name: str, side: int) -> Preprocess:
    """The named preprocessing for a network whose input is `side` pixels wide and high."""

    def preprocess(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return PREPROCESSING[name](_resized(crops, side))

    return preprocess


def _resized(crops: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 (n, h, w) to (n, side, side)."""
    if crops.shape[1:] == (side, side):
        return crops
    interpolation = cv2.INTER_AREA if crops.shape[1] >= side else cv2.INTER_CUBIC
    out = np.empty((len(crops), side, side), np.uint8)
    for crop, resized in zip(crops, out, strict=True):
        cv2.resize(crop, (side, side), dst=resized, interpolation=interpolation)
    return out
