"""A trained emotion network, loaded from its folder and called on crops."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from fer_batch.models.architectures import ARCHITECTURES
from fer_batch.models.folder import WEIGHTS_FILE, ModelFolderError, read_config
from fer_batch.models.preprocessing import CROP_SIZE, PREPROCESSING, Preprocess


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits / temperature over the last axis, in float64, so that rows sum to 1 within 1e-12."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponent = np.exp(scaled)
    exponent /= exponent.sum(axis=-1, keepdims=True)
    return np.asarray(exponent)


class EmotionNetwork:
    """A network with its preprocessing and temperature.

    Always called on batches of one fixed shape: the graph is traced once, and memory stays flat over a
    night (`model.predict` in a loop traces and leaks).
    """

    def __init__(self, folder: Path, batch_size: int = 64) -> None:
        """Load the folder. Raises ModelFolderError where the weights do not fit the architecture."""
        self.config = read_config(folder)
        self.batch_size = batch_size
        try:
            self.model = ARCHITECTURES[self.config.architecture](len(self.config.labels), **self.config.options)
            _load_all_weights(self.model, folder / WEIGHTS_FILE)
        except (ValueError, TypeError, OSError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ModelFolderError(f"{folder}: the weights do not fit {self.config.architecture} ({reason})") from error

    def probabilities(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Calibrated probabilities of crops. uint8 (n, 48, 48) to float64 (n, labels), rows sum to 1."""
        return softmax(self.logits(crops), self.config.temperature)

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits before the temperature. uint8 (n, 48, 48) to float32 (n, labels)."""
        config = self.config
        return network_logits(self.model, PREPROCESSING[config.preprocessing], crops, self.batch_size, config.mirror)


def network_logits(
    model: keras.Model, preprocess: Preprocess, crops: NDArray[np.uint8], batch_size: int, mirror: bool = False
) -> NDArray[np.float32]:
    """Call a Keras model on crops of any number, in batches padded to one shape.

    `preprocess` maps uint8 (n, 48, 48) to the model's input. With `mirror` the mean over each crop and its mirror
    image. Returns float32 (n, outputs).
    """
    if mirror:
        seen, mirrored = (
            network_logits(model, preprocess, view, batch_size, mirror=False) for view in (crops, crops[:, :, ::-1])
        )
        return np.asarray((seen + mirrored) / 2, np.float32)
    parts = [np.empty((0, model.output_shape[-1]), np.float32)]
    for start in range(0, len(crops), batch_size):
        chunk = crops[start : start + batch_size]
        batch = np.zeros((batch_size, CROP_SIZE, CROP_SIZE), np.uint8)
        batch[: len(chunk)] = chunk
        output = model.predict_on_batch(preprocess(batch))
        parts.append(np.asarray(output, np.float32)[: len(chunk)])
    return np.concatenate(parts)


def _load_all_weights(model: keras.Model, path: Path) -> None:
    """Load weights; unlike Keras, raise ValueError where the file holds more arrays than the model has."""
    with h5py.File(path) as file:
        arrays = []
        file.visititems(lambda name, item: arrays.append(name) if isinstance(item, h5py.Dataset) else None)
    stored = [name for name in arrays if name.startswith("layers/") and "seed_generator" not in name]
    if len(stored) != len(model.weights):
        raise ValueError(f"the file holds {len(stored)} arrays, the network has {len(model.weights)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What does not fit raises as well; Keras's paragraphs beside it help nobody.
        model.load_weights(path)
