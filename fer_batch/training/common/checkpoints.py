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

from fer_batch.atomic import write_whole
from fer_batch.errors import DatasetError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

History = list[dict[str, float]]


def save_checkpoint(path: Path, state: Mapping[str, Any], recipe: DataclassInstance, history: History) -> None:
    """Write the variables of `state` as plain arrays for any backend, whole or not at all."""
    arrays: dict[str, Any] = {name: np.asarray(keras.ops.convert_to_numpy(state[name])) for name in state}
    notes = json.dumps({"recipe": asdict(recipe), "history": history})

    def write(aside: Path) -> None:
        with aside.open("wb") as stream:  # By name, NumPy would add a suffix.
            np.savez(stream, notes=np.array(notes), **arrays)

    write_whole(path, write)


def load_checkpoint(
    path: Path, state: Mapping[str, Any], recipe: DataclassInstance, may_differ: Sequence[str] = ()
) -> History:
    """Set the variables of `state` from a checkpoint and return its history; an empty one where there is none.

    Raises DatasetError if it belongs to another recipe; the fields `may_differ` are not compared.
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
    """Write the figures of the epochs as CSV, a row each."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, history[0])
        writer.writeheader()
        writer.writerows(history)
