"""Crops to probabilities, in one process: with TensorFlow on a GPU if there is one, else INT8 on the CPU.

Either runtime is imported at the first crop.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import Device
from fer_batch.emotion.device import gpu_is_likely, prepare_device
from fer_batch.emotion.model_folder import read_config
from fer_batch.emotions import EMOTIONS, merge_disgust

if TYPE_CHECKING:
    from fer_batch.emotion.model import EmotionModel

log = logging.getLogger(__name__)


class Classifier:
    """The emotion model of a run, loaded when it is first needed."""

    def __init__(self, folder: Path, labels: tuple[str, ...], batch_size: int, device: Device) -> None:
        """Configure the classifier; nothing is loaded yet.

        Args:
            folder: The model folder.
            labels: The wanted columns. Where they lack disgust and the model has it, its probability is added to angry.
            batch_size: Crops per batch.
            device: `cpu`, `gpu`, or `auto` for a GPU if there is one.
        """
        self._folder, self._labels, self._batch_size, self._device = folder, labels, batch_size, device
        self._model: EmotionModel | None = None
        #: The device in use, once the model is loaded: `cpu` or the GPU's name.
        self.device_name: str | None = None

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Classify crops.

        Args:
            crops: uint8 (n, 48, 48).

        Returns:
            Calibrated probabilities, float64 (n, labels); rows sum to 1.

        Raises:
            UsageError: As `load`.
        """
        if len(crops) == 0:
            return np.empty((0, len(self._labels)))
        model = self.load()
        probabilities = model.probabilities(crops)
        merged = model.config.labels == EMOTIONS and self._labels != EMOTIONS
        return merge_disgust(probabilities) if merged else probabilities

    def load(self) -> EmotionModel:
        """Load the model, once. Raises UsageError where the device is missing or the folder can't be used."""
        if self._model is None:
            with _without_garbage_collection():
                self._model = self._load()
            log.info("classifying on %s", self.device_name)
        return self._model

    def _load(self) -> EmotionModel:
        """The INT8 model on the CPU, if the folder has one and no GPU is used; else TensorFlow."""
        has_int8 = self._device != "gpu" and read_config(self._folder).int8_sha256 is not None
        if has_int8 and (self._device == "cpu" or not gpu_is_likely()):
            self.device_name = "cpu"
        else:
            self.device_name = prepare_device(self._device)
        if has_int8 and self.device_name == "cpu":
            from fer_batch.emotion.int8_model import Int8Model

            return Int8Model(self._folder, self._batch_size)
        from fer_batch.emotion.keras_model import KerasModel

        return KerasModel(self._folder, self._batch_size)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Load without the garbage collector, then exempt the loaded objects from it. They are permanent, and scanning them
    again and again while TensorFlow creates them takes a fifth of the loading time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
