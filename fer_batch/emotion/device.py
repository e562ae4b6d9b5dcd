"""Which device the classifier runs on, and TensorFlow set up for it."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_batch.config import Device
from fer_batch.errors import UsageError
from fer_batch.log import native_notes_to_log


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
    in 8 bits is classified in half the time (docs/models/emotion.md); without them it would take longer."""
    try:
        flags = cpu_info.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


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
