"""Choose the device of the classifier and set TensorFlow up for it."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_batch.config import Device
from fer_batch.environment import environment_variable
from fer_batch.errors import missing_extra
from fer_batch.log import native_stderr_to_log


def gpu_is_likely() -> bool:
    """Whether TensorFlow might see a GPU, checked without importing it, which takes three seconds: there must be
    NVIDIA's driver, AMD's device, or a plug-in for another kind."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        plugins = any(Path(path, "tensorflow-plugins").is_dir() for path in sys.path)
        return plugins or Path("/dev/kfd").exists()
    return True


def prepare_device(device: Device) -> str:
    """Import TensorFlow and set it up for a device.

    Args:
        device: `cpu`, `gpu`, or `auto` for a GPU if there is one.

    Returns:
        `cpu` or the GPU's name.

    Raises:
        UsageError: A GPU is asked for and TensorFlow sees none.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # Runs classify with TensorFlow, whatever trains on this machine.
    with native_stderr_to_log("tensorflow"), _isolated_keras_home():
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        need = "--device gpu: TensorFlow sees no GPU. Use --device auto, or install a driver and TensorFlow's libraries"
        raise missing_extra(need, "gpu")
    if device == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        if supports_bfloat16():
            keras.config.set_dtype_policy("mixed_bfloat16")
        return "cpu"
    for gpu in gpus:  # Without growth TensorFlow takes all memory of every GPU at once.
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    if details.get("compute_capability", (0, 0)) >= (7, 0):  # Tensor cores begin here; earlier, float16 is slower.
        keras.config.set_dtype_policy("mixed_float16")
    return str(details.get("device_name", gpus[0].name))


def supports_bfloat16(cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has bfloat16 instructions, according to Linux. With them a model without an INT8 file is computed
    in half the time (docs/models/emotion.md); without them bfloat16 would be slower than float32."""
    try:
        flags = cpu_info.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


@contextmanager
def _isolated_keras_home() -> Iterator[None]:
    """Import Keras so that it neither reads nor writes the user's ~/.keras, where settings for other programs could
    change results, nor imports Matplotlib, which is not needed here and writes to the home directory as well."""
    hide_matplotlib = "matplotlib" not in sys.modules
    with tempfile.TemporaryDirectory() as home, environment_variable("KERAS_HOME", home):
        if hide_matplotlib:
            sys.modules["matplotlib"] = None  # type: ignore[assignment]  # None makes an import fail.
        try:
            yield
        finally:
            if hide_matplotlib:
                del sys.modules["matplotlib"]
