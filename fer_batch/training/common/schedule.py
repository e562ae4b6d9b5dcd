"""Precision, learning rate schedule and compilation of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Build layers within the context in a precision, bfloat16 or float32, which they keep; restore the old one."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if name == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def cosine_schedule(peak: float, epochs: int, warmup_epochs: float, steps_per_epoch: int) -> Any:
    """A learning rate that rises linearly to its peak and decays to 0 along a cosine."""
    steps, warmup = steps_per_epoch * epochs, int(steps_per_epoch * warmup_epochs)
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup)


def compiled_whole() -> bool:
    """Whether to compile a whole training step (`jit_compile`).

    JAX would otherwise run one operation at a time. TensorFlow builds a graph anyway, and its compiler makes
    convolutions slower on a CPU (134 against 232 images a second when measured).
    """
    return bool(keras.backend.backend() == "jax")
