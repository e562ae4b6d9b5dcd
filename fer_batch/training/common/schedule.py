"""What every training sets up: the precision, the learning rate, whether a step is compiled as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Layers keep the precision, bfloat16 or float32, that was set when they were built; what is built later must not
    get it."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if name == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def cosine_schedule(peak: float, epochs: int, warmup_epochs: float, steps_per_epoch: int) -> Any:
    """A learning rate that rises in a straight line to its peak and falls to 0 along a cosine."""
    steps, warmup = steps_per_epoch * epochs, int(steps_per_epoch * warmup_epochs)
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup)


def compiled_whole() -> bool:
    """Whether a step of training is to be compiled as a whole (`jit_compile`).

    JAX computes one operation at a time without. TensorFlow makes a graph of it anyway, and its compiler makes
    convolutions slower on a processor (134 against 232 images a second when measured).
    """
    return bool(keras.backend.backend() == "jax")
