"""The exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


class WeightAverage:
    """An exponential moving average (EMA) of weights, in float32.

    Early in training the average follows the weights faster: the decay of a step is at most (1 + step) / (10 + step).

    Attributes:
        variables: The averaged weights, in the order of the network's.
    """

    def __init__(self, weights: Sequence[NDArray[np.floating]], decay: float) -> None:
        """Start from `weights`; `decay` per step, 0 to 1."""
        self._decay = decay
        # Copies: JAX hands a step's memory on to the next one.
        self.variables = [keras.Variable(weight, trainable=False, dtype="float32") for weight in weights]

    def update(self, weights: Sequence[Any], step: Any) -> None:
        """Move the average towards the weights after a step, counted from 1."""
        decay = ops.minimum(self._decay, (1 + step) / (10 + step))
        for average, weight in zip(self.variables, weights, strict=True):
            average.assign(decay * average + (1 - decay) * ops.cast(ops.stop_gradient(weight), "float32"))
