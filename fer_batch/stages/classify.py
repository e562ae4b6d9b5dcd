"""Crops to probabilities, in one process: with TensorFlow on the GPU if there is one, else in 8 bits on the processor.

Either is imported at the first crop.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import Device, UsageError
from fer_batch.emotions import EMOTIONS, merge_disgust
from fer_batch.messages import native_notes_to_log
from fer_batch.models.folder import read_config

if TYPE_CHECKING:
    from fer_batch.models.emotion_model import EmotionModel

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
            from fer_batch.models.int8 import Int8Model

            return Int8Model(self._folder, self._batch_size)
        from fer_batch.models.network import EmotionNetwork

        return EmotionNetwork(self._folder, self._batch_size)


def a_gpu_is_likely() -> bool:
    """Whether TensorFlow might see a GPU, asked before three seconds go to importing it: it needs NVIDIA's driver,
    AMD's device, or a plug-in for another kind."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        plugins = any(Path(path, "tensorflow-plugins").is_dir() for path in sys.path)
        return plugins or Path("/dev/kfd").exists()
    return True


def prepare_device(device: Device) -> str:
    """Import TensorFlow and set it up for a device; returns `cpu` or the GPU's name.

    Raises UsageError where a GPU is asked for and TensorFlow sees none.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # Runs classify with TensorFlow, whatever trains on this machine.
    with native_notes_to_log("tensorflow"), _apart_from_home():
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UsageError(
            "--device gpu: TensorFlow sees no GPU; install fer-batch[gpu] and a driver, or use --device auto"
        )
    if device == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        if computes_in_bfloat16():
            keras.config.set_dtype_policy("mixed_bfloat16")
        return "cpu"
    for gpu in gpus:  # Without growth TensorFlow takes all memory of every GPU at once.
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    if details.get("compute_capability", (0, 0)) >= (7, 0):  # Tensor cores begin here; earlier, float16 is slower.
        keras.config.set_dtype_policy("mixed_float16")
    return str(details.get("device_name", gpus[0].name))


def computes_in_bfloat16(cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bfloat16, as far as Linux tells. With them a folder without a network
    in 8 bits is classified in half the time (docs/emotion_model.md); without them it would take longer."""
    try:
        flags = cpu_info.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


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


@contextmanager
def _apart_from_home() -> Iterator[None]:
    """Import Keras so that it neither reads nor writes the user's ~/.keras, where settings for other programs would
    change rows, nor loads Matplotlib, for which it has no use here and which writes there as well."""
    before, unwanted = os.environ.get("KERAS_HOME"), "matplotlib" not in sys.modules
    with tempfile.TemporaryDirectory() as home:
        os.environ["KERAS_HOME"] = home
        if unwanted:
            sys.modules["matplotlib"] = None  # type: ignore[assignment]  # To Python that means: not to be found.
        try:
            yield
        finally:
            if unwanted:
                del sys.modules["matplotlib"]
            del os.environ["KERAS_HOME"]
            if before is not None:
                os.environ["KERAS_HOME"] = before
