"""Run ONNX files on the CPU with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.errors import ModelFolderError
from fer_batch.log import native_stderr_to_log, one_line

_FATAL = 4
_importing = Lock()


class NetworkError(Exception):
    """Inference failed, or the network lacks the inputs or outputs that are asked for."""


def onnx_runtime() -> Any:
    """Import ONNX Runtime without its messages and with telemetry off (see pyproject.toml)."""
    # One thread at a time, for stderr is one for all: two could leave it where the other had sent it.
    with _importing, native_stderr_to_log("onnxruntime"):
        import onnxruntime
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def open_network(
    path: Path, threads: int, outputs: Sequence[str] | None = None
) -> Callable[[NDArray[Any]], dict[str, NDArray[np.float32]]]:
    """Load a network with one input.

    Args:
        path: The ONNX file.
        threads: CPU threads for one call.
        outputs: Names of the outputs to compute; None: all.

    Returns:
        A function from a batch to the outputs by name. It raises NetworkError where inference fails.

    Raises:
        ModelFolderError: ONNX Runtime can't load the file.
    """
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL  # Errors are raised as well; other messages are of no use.
    # Threads that spin while they wait would take CPU time from the workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # A plan per picture size would be kept as long as the run lasts.
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        ((source, kind),) = [(tensor.name, tensor.type) for tensor in session.get_inputs()]
        names = [tensor.name for tensor in session.get_outputs()] if outputs is None else list(outputs)
    except Exception as error:  # ONNX Runtime's exceptions have no common base class.
        raise ModelFolderError(f"{path}: ONNX Runtime can't use it ({_reason(error)})") from error

    dtype = np.uint8 if kind == "tensor(uint8)" else np.float32

    def compute(batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        try:
            return dict(zip(names, session.run(names, {source: batch.astype(dtype, copy=False)}), strict=True))
        except MemoryError:
            raise
        except Exception as error:  # As above.
            raise NetworkError(_reason(error)) from error

    return compute


def _reason(error: Exception) -> str:
    return one_line(str(error)) or type(error).__name__
