"""Crops to probabilities, in one process: with TensorFlow on the GPU if there is one, else in 8 bits on the processor.

Either is imported at the first crop.
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
from fer_batch.emotion.device import a_gpu_is_likely, prepare_device
from fer_batch.emotion.model_folder import read_config
from fer_batch.emotions import EMOTIONS, merge_disgust

if TYPE_CHECKING:
    from fer_batch.emotion.model import EmotionModel

log = logging.getLogger(__name__)


class Classifier:
    """The emotion model of a run; loads itself when it is first needed."""

    def __init__(self, folder: Path, labels: tuple[str, ...], batch_size: int, device: Device) -> None:
        """`labels`: the wanted columns; where they lack disgust and the model has it, it joins angry."""
        self._folder, self._labels, self._batch_size, self._device = folder, labels, batch_size, device
        self._network: EmotionModel | None = None
        #: What the classifier runs on, once it has run: `cpu` or the GPU's name.
        self.device_name: str | None = None

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Calibrated probabilities, uint8 (n, 48, 48) to float64 (n, labels); rows sum to 1."""
        if len(crops) == 0:
            return np.empty((0, len(self._labels)))
        network = self.load()
        probabilities = network.probabilities(crops)
        merged = network.config.labels == EMOTIONS and self._labels != EMOTIONS
        return merge_disgust(probabilities) if merged else probabilities

    def load(self) -> EmotionModel:
        """Load the model, once. Raises UsageError where there is no such device or the model does not fit."""
        if self._network is None:
            with _nothing_collected():
                self._network = self._load()
            log.info("classifying on %s", self.device_name)
        return self._network

    def _load(self) -> EmotionModel:
        """The network in 8 bits on the processor, if the folder has it and no GPU is to be used; else in TensorFlow."""
        in_8_bits = self._device != "gpu" and read_config(self._folder).int8_sha256 is not None
        if in_8_bits and (self._device == "cpu" or not a_gpu_is_likely()):
            self.device_name = "cpu"
        else:
            self.device_name = prepare_device(self._device)
        if in_8_bits and self.device_name == "cpu":
            from fer_batch.emotion.int8_model import Int8Model

            return Int8Model(self._folder, self._batch_size)
        from fer_batch.emotion.keras_model import EmotionNetwork

        return EmotionNetwork(self._folder, self._batch_size)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Load without the garbage collector, and keep what was loaded from it for good. All of it stays, and is looked
    through again and again while TensorFlow makes its objects: a fifth of the time that loading takes."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
