"""What every training run shares: precision, learning rate, a checkpoint every epoch, and a log."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fer_batch.files import write_whole
from fer_batch.training.dataset import DatasetError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

History = list[dict[str, float]]


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


def save_checkpoint(path: Path, state: Mapping[str, Any], recipe: DataclassInstance, history: History) -> None:
    """Write the variables of `state` as plain arrays for any backend, whole or not at all."""
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in state.items()}
    notes = json.dumps({"recipe": asdict(recipe), "history": history})

    def write(aside: Path) -> None:
        with aside.open("wb") as stream:  # By name, NumPy would add a suffix.
            np.savez(stream, notes=np.array(notes), **arrays)

    write_whole(path, write)


def load_checkpoint(path: Path, state: Mapping[str, Any], recipe: DataclassInstance) -> History:
    """Set the variables of `state` from a checkpoint and return its history; an empty one where there is none.

    Raises DatasetError if it belongs to another recipe.
    """
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as stored:
        notes = json.loads(str(stored["notes"]))
        if notes["recipe"] != json.loads(json.dumps(asdict(recipe))):
            raise DatasetError(f"{path}: belongs to another recipe; remove it to start over")
        for name, variable in state.items():
            variable.assign(stored[name])
    history: History = notes["history"]
    return history


def write_log(path: Path, history: History) -> None:
    """Write the figures of the epochs as CSV, a row each."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, history[0])
        writer.writeheader()
        writer.writerows(history)
