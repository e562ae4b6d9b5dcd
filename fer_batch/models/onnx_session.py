"""Networks kept as ONNX files, computed on the processor by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fer_batch.models.folder import ModelFolderError

_FATAL = 4


def open_network(path: Path, threads: int) -> Callable[[NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Load a network with one input; the result maps a batch for it to its outputs by name.

    Raises ModelFolderError where ONNX Runtime can't load the file.
    """
    onnxruntime.disable_telemetry_events()  # On Windows; elsewhere there is none (see pyproject.toml).
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL  # Errors are raised; notes help nobody.
    # A thread that waits for work would take the processor from the workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # Pictures come in many sizes; a plan for each would be kept all night.
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (source,) = [one.name for one in session.get_inputs()]
        names = [one.name for one in session.get_outputs()]
    except Exception as error:  # Each kind of failure is a class of its own, without a common one.
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ModelFolderError(f"{path}: ONNX Runtime can't use it ({reason})") from error
    return lambda batch: dict(zip(names, session.run(names, {source: batch}), strict=True))
