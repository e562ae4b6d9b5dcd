"""The second stage of the embedded detector: candidates are cut out at one size, and a small network scores each.

The first network sees faces of all sizes at once; what it is unsure of is mostly round things. At one size and place
far fewer operations suffice to reject those (a cascade, as in Viola and Jones 2001 and Zhang et al. 2016, "Joint Face
Detection and Alignment Using Multitask Cascaded Convolutional Networks").
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.layers import Convolutions, copy_weights
from fer_batch.onnx.session import open_network

if TYPE_CHECKING:
    import keras

#: Side of the square that the network reads, pixels, and how much longer it is than the longer side of the box.
SIDE, CONTEXT = 48, 1.5
#: Candidates of one call to the network: a crowd needs no more memory than that.
_BATCH = 64
#: Y, U and V beyond the picture.
BLACK = (0, 128, 128)
#: Scores are kept this far from 0 and 1, where their logits would be infinite.
_MARGIN = 1e-6


class Verifier:
    """Scores candidates by both networks."""

    def __init__(self, file: Path, score_weights: tuple[float, float, float]) -> None:
        """`score_weights`: of the first network's logit, of this network's, and the offset. Raises ModelFolderError."""
        self._network = open_network(file, threads=1)
        self._weights = score_weights

    def scores(
        self, picture: NDArray[np.uint8], boxes: NDArray[np.float32], scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """How likely each candidate is a face.

        Args:
            picture: Y, U, V, uint8 (h, w, 3).
            boxes: x, y, width, height in its pixels, (n, 4).
            scores: The first network's, (n,).

        Returns:
            Scores 0..1, float32 (n,).

        Raises:
            NetworkError: Inference failed.
        """
        return combined_scores(scores, self.logits(crops(picture, boxes)), self._weights)

    def logits(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the verifier alone says of squares, uint8 (n, SIDE, SIDE, 3), on average over both mirror images; (n,).
        Raises NetworkError."""
        planes = squares.transpose(0, 3, 1, 2)
        logits = np.zeros(len(squares), np.float32)
        for first in range(0, len(squares), _BATCH):
            part = planes[first : first + _BATCH]
            both = self._network(np.concatenate([part, part[..., ::-1]]))["logit"]
            logits[first : first + _BATCH] = both.reshape(2, -1).mean(axis=0)
        return logits


def combined_scores(
    scores: NDArray[np.floating], logits: NDArray[np.floating], weights: tuple[float, float, float]
) -> NDArray[np.float32]:
    """The probability of a face by logistic regression on both networks' logits; float32 (n,).

    Args:
        scores: The first network's, 0..1, (n,).
        logits: The verifier's, (n,).
        weights: Of the first network's logit, of the verifier's, and the offset.
    """
    first, second, offset = weights
    return np.asarray(1 / (1 + np.exp(-(first * logit_of(scores) + second * logits + offset))), np.float32)


def logit_of(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """The logits of scores 0..1."""
    kept = np.clip(scores.astype(float), _MARGIN, 1 - _MARGIN)
    return np.asarray(np.log(kept / (1 - kept)))


def crops(
    picture: NDArray[np.uint8], boxes: NDArray[np.floating], side: int = SIDE, context: float = CONTEXT
) -> NDArray[np.uint8]:
    """Squares around what the picture has of boxes, black beyond it.

    Args:
        picture: Y, U, V, uint8 (h, w, 3).
        boxes: x, y, width, height in its pixels, (n, 4).
        side: Of the squares, in pixels.
        context: The square's side over the longer side of the box.

    Returns:
        uint8 (n, side, side, 3).
    """
    cut = np.empty((len(boxes), side, side, 3), np.uint8)
    height, width = picture.shape[:2]
    low = np.clip(boxes[:, :2].astype(float), 0, (width, height))
    high = np.clip(boxes[:, :2].astype(float) + boxes[:, 2:], 0, (width, height))
    extents = np.maximum((high - low).max(axis=1, initial=0), 1.0) * context
    corners = (low + high - extents[:, None]) / 2
    starts, ends = np.floor(corners).astype(int), np.ceil(corners + extents[:, None]).astype(int)
    for number, (left, top, right, bottom) in enumerate(np.hstack([starts, ends]).tolist()):
        part = picture[max(0, top) : bottom, max(0, left) : right]
        beyond = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
        if any(beyond):
            part = np.asarray(cv2.copyMakeBorder(part, *beyond, cv2.BORDER_CONSTANT, value=BLACK), np.uint8)
        kind = cv2.INTER_AREA if right - left > side else cv2.INTER_LINEAR
        cv2.resize(part, (side, side), dst=cut[number], interpolation=kind)
    return cut


def verifier_network(
    widths: tuple[int, ...] = (16, 32, 64, 96), blocks: tuple[int, ...] = (0, 1, 2, 0), standardized: bool = True
) -> keras.Model:
    """Build the verifier's network, untrained.

    Args:
        widths: Channels at strides 2, 4, 8 and so on.
        blocks: Residual blocks there.
        standardized: Whether convolutions are standardized, as for training; see `plain_verifier`.

    Returns:
        A model from (n, SIDE, SIDE, 3), Y, U and V as 0..255, to the logit of a face, (n, 1).
    """
    import keras
    from keras import layers

    convolved = Convolutions(standardized)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 128)(inputs)
    for width, depth in zip(widths, blocks, strict=True):
        x = convolved(x, width, stride=2)
        for _ in range(depth):
            x = convolved.residual(x, width)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(1, name="logit", dtype="float32")(x), name="face-verifier")


def plain_verifier(network: keras.Model) -> keras.Model:
    """The same network with plain convolutions, for export; see `plain_network`."""
    return copy_weights(network, verifier_network(standardized=False))
