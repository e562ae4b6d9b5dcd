"""Networks kept as ONNX files, computed on the processor by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.errors import ModelFolderError
from fer_batch.log import native_notes_to_log, one_line

_FATAL = 4


class NetworkError(Exception):
    """A network that was loaded could not be computed, or has other inputs and outputs than it is asked for."""


def onnx_runtime() -> Any:
    """ONNX Runtime, imported quietly, and told to report nothing: it would on Windows (see pyproject.toml)."""
    with native_notes_to_log("onnxruntime"):
        import onnxruntime
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def open_network(
    path: Path, threads: int, outputs: Sequence[str] | None = None
) -> Callable[[NDArray[Any]], dict[str, NDArray[np.float32]]]:
    """Load a network with one input; the result maps a batch for it to its outputs by name, all or those of `outputs`,
    and raises NetworkError where that fails.

    Raises ModelFolderError where ONNX Runtime can't load the file.
    """
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL  # Errors are raised; notes help nobody.
    # A thread that waits for work would take the processor from the workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # Pictures come in many sizes; a plan for each would be kept all night.
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        ((source, kind),) = [(one.name, one.type) for one in session.get_inputs()]
        names = [one.name for one in session.get_outputs()] if outputs is None else list(outputs)
    except Exception as error:  # Each kind of failure is a class of its own, without a common one.
        raise ModelFolderError(f"{path}: ONNX Runtime can't use it ({_reason(error)})") from error

    dtype = np.uint8 if kind == "tensor(uint8)" else np.float32

    def compute(batch: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        try:
            return dict(zip(names, session.run(names, {source: batch.astype(dtype, copy=False)}), strict=True))
        except MemoryError:
            raise
        except Exception as error:  # The same here.
            raise NetworkError(_reason(error)) from error

    return compute


def _reason(error: Exception) -> str:
    return one_line(str(error)) or type(error).__name__
