"""What every training run writes: a checkpoint every epoch, and a log."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fer_batch.atomic import write_atomic
from fer_batch.errors import DatasetError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CHECKPOINT_FILE = "checkpoint.npz"
LOG_FILE = "training_log.csv"

#: The metrics of each epoch.
History = list[dict[str, float]]


def save_checkpoint(path: Path, state: Mapping[str, Any], recipe: DataclassInstance, history: History) -> None:
    """Write a checkpoint atomically, as plain arrays that any Keras backend can load.

    Args:
        path: The file.
        state: The variables by name.
        recipe: The recipe of the run.
        history: The metrics of the epochs so far.
    """
    arrays: dict[str, Any] = {
        name: np.asarray(keras.ops.convert_to_numpy(variable)) for name, variable in state.items()
    }
    notes = json.dumps({"recipe": asdict(recipe), "history": history})

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:  # Given a path, NumPy would add a suffix.
            np.savez(stream, notes=np.array(notes), **arrays)

    write_atomic(path, write)


def load_checkpoint(
    path: Path, state: Mapping[str, Any], recipe: DataclassInstance, may_differ: Sequence[str] = ()
) -> History:
    """Load a checkpoint, if there is one.

    Args:
        path: The file.
        state: The variables by name; they are set.
        recipe: The recipe of the run.
        may_differ: Fields of the recipe that may have changed since.

    Returns:
        The metrics of the epochs so far; empty without a checkpoint.

    Raises:
        DatasetError: The checkpoint belongs to another recipe.
    """
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as stored:
        notes = json.loads(str(stored["notes"]))
        fields = json.loads(json.dumps(asdict(recipe)))
        if any(notes["recipe"].get(name) != fields[name] for name in fields if name not in may_differ):
            raise DatasetError(f"{path}: belongs to another recipe; remove it to start over")
        for name, variable in state.items():
            variable.assign(stored[name])
    history: History = notes["history"]
    return history


def write_log(path: Path, history: History) -> None:
    """Write the metrics of the epochs as CSV, a row each."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, history[0])
        writer.writeheader()
        writer.writerows(history)
