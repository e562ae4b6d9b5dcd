"""The interface of a trained emotion model, whatever runtime computes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fer_batch.emotion.model_folder import ModelConfig


class EmotionModel(ABC):
    """A model loaded from a folder.

    Attributes:
        config: The contents of the folder's config.json.
    """

    config: ModelConfig

    @abstractmethod
    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits before the temperatures. uint8 (n, 48, 48) to float32 (n, heads x labels)."""

    def probabilities(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Calibrated probabilities, from the head that the tables hold.

        Args:
            crops: uint8 (n, 48, 48).

        Returns:
            float64 (n, labels); rows sum to 1.
        """
        return self.probabilities_by_head(crops)[self.config.tables]

    def probabilities_by_head(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        """Calibrated probabilities of each head, each as `probabilities` returns them."""
        heads = self.config.heads
        logits = np.split(self.logits(crops), len(heads), axis=1)
        return {head: softmax(part, heads[head]) for head, part in zip(heads, logits, strict=True)}


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits / temperature over the last axis, in float64, so that rows sum to 1 within 1e-12."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponent = np.exp(scaled)
    exponent /= exponent.sum(axis=-1, keepdims=True)
    return np.asarray(exponent)


def flip_averaged(
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]], crops: NDArray[np.uint8], flip_averaging: bool
) -> NDArray[np.float32]:
    """`logits` of crops (n, 48, 48) or, with `flip_averaging`, their mean over each crop and its horizontal flip."""
    if not flip_averaging:
        return logits(crops)
    return np.asarray((logits(crops) + logits(crops[:, :, ::-1])) / 2, np.float32)
