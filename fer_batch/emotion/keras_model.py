"""A trained emotion model in Keras, loaded from its folder."""

from __future__ import annotations

import math
import warnings
from inspect import signature
from pathlib import Path

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import ResolvedConfig
from fer_batch.emotion.architectures import ARCHITECTURES, fold
from fer_batch.emotion.model import EmotionModel, flip_averaged
from fer_batch.emotion.model_folder import read_config
from fer_batch.emotion.preprocessing import CROP_SIZE, Preprocess
from fer_batch.errors import ModelFolderError
from fer_batch.model_folder import WEIGHTS_FILE


class KerasModel(EmotionModel):
    """The Keras model of a folder.

    It is always called on batches of one fixed shape, so that the graph is traced once and memory stays flat over a
    long run (`model.predict` in a loop traces and leaks).
    """

    def __init__(self, folder: Path, batch_size: int = ResolvedConfig.batch_size) -> None:
        """Load the folder. Raises ModelFolderError where the weights do not fit the architecture."""
        self.config = read_config(folder)
        self.batch_size = batch_size
        build = ARCHITECTURES[self.config.architecture]
        try:
            self.model = build(self.config.outputs, **self.config.options)
        except (ValueError, TypeError, OSError) as error:
            raise _weights_do_not_fit(folder, error) from error
        load_weights(self.model, folder)
        if "folded" in signature(build).parameters:
            trained, self.model = self.model, build(self.config.outputs, folded=True, **self.config.options)
            fold(trained, self.model)

    @property
    def parameters(self) -> int:
        """Number of parameters, with batch normalization folded in."""
        return int(self.model.count_params())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the convolutions and dense layers for one face; twice as many with flip averaging."""
        total = 0
        for layer in self.model.layers:
            if hasattr(layer, "kernel"):
                positions = math.prod(layer.output.shape[1:-1])  # 1 for a dense layer.
                total += positions * math.prod(layer.kernel.shape)
        return total * (2 if self.config.flip_averaging else 1)

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `EmotionModel.logits`."""
        config = self.config
        return network_logits(self.model, config.preprocess, crops, self.batch_size, config.flip_averaging)


def network_logits(
    model: keras.Model, preprocess: Preprocess, crops: NDArray[np.uint8], batch_size: int, flip_averaging: bool = False
) -> NDArray[np.float32]:
    """Call a Keras model on any number of crops, in batches padded to one shape.

    Args:
        model: The network.
        preprocess: Maps uint8 (n, 48, 48) to the network's input.
        crops: uint8 (n, 48, 48).
        batch_size: Crops per batch.
        flip_averaging: Average the logits over each crop and its horizontal flip.

    Returns:
        Logits, float32 (n, outputs).
    """

    def logits(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [np.empty((0, model.output_shape[-1]), np.float32)]
        for start in range(0, len(crops), batch_size):
            chunk = crops[start : start + batch_size]
            batch = np.zeros((batch_size, CROP_SIZE, CROP_SIZE), np.uint8)
            batch[: len(chunk)] = chunk
            output = model.predict_on_batch(preprocess(batch))
            parts.append(np.asarray(output, np.float32)[: len(chunk)])
        return np.concatenate(parts)

    return flip_averaged(logits, crops, flip_averaging)


def load_weights(model: keras.Model, folder: Path) -> None:
    """Load a model folder's weights into a network. Raises ModelFolderError where they do not fit it."""
    try:
        _load_all_weights(model, folder / WEIGHTS_FILE)
    except (ValueError, TypeError, OSError) as error:
        raise _weights_do_not_fit(folder, error) from error


def _weights_do_not_fit(folder: Path, error: Exception) -> ModelFolderError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return ModelFolderError(f"{folder}: the weights do not fit the network ({reason})")


def _load_all_weights(model: keras.Model, path: Path) -> None:
    """Load weights; unlike Keras, raise ValueError where the file holds more arrays than the model has."""
    with h5py.File(path) as file:
        arrays = []
        file.visititems(lambda name, item: arrays.append(name) if isinstance(item, h5py.Dataset) else None)
    stored = [name for name in arrays if name.startswith("layers/") and "seed_generator" not in name]
    if len(stored) != len(model.weights):
        raise ValueError(f"the file holds {len(stored)} arrays, the network has {len(model.weights)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What does not fit raises; Keras's warnings beside it add nothing.
        model.load_weights(path)
