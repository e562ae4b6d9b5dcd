"""Begin a training with the weights of a narrower network, so that what it learnt is not learnt again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer_batch.models.face_network import face_network
from fer_batch.models.folder import WEIGHTS_FILE
from fer_batch.training.dataset import DatasetError
from fer_batch.training.detector.recipe import RECIPE_FILE, read_detector_recipe


def start_from(folder: Path, weights: list[Any]) -> None:
    """Set `weights`, those of a new network, so that it answers as the network in `folder` does.

    The new one may be wider, with as many convolutions. Raises DatasetError for a folder that does not fit.
    """
    recipe = read_detector_recipe(folder / RECIPE_FILE)
    narrow = face_network(**recipe.options)
    try:
        narrow.load_weights(folder / WEIGHTS_FILE)
    except (OSError, ValueError) as error:
        raise DatasetError(f"recipe: start {folder}: {WEIGHTS_FILE} can't be used ({error})") from error
    known = narrow.get_weights()
    if len(known) != len(weights) or any(
        old.ndim != len(new.shape) or any(a > b for a, b in zip(old.shape, new.shape, strict=True))
        for old, new in zip(known, weights, strict=True)
    ):
        raise DatasetError(f"recipe: start {folder}: its network does not fit into the one to be trained")
    for old, new in zip(known, weights, strict=True):
        new.assign(widened(old, keras.ops.convert_to_numpy(new)))


def widened(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float32]:
    """`new` with `old` in its first channels. A kernel's further inputs do not reach the old outputs, so answers stay
    those of the narrower network; its further outputs stay random, for the layers behind to find a use for (as in Chen
    et al. 2016, "Net2Net", but with zeros in place of copies)."""
    wide = np.array(new)
    if wide.ndim == 1:
        wide[: len(old)] = old
        return wide
    inputs, outputs = old.shape[-2:]
    wide[..., inputs:, :outputs] = 0
    wide[..., :inputs, :outputs] = old
    return wide
