"""Quantize a network to INT8: a quarter of the size and, on a CPU, about a third of the time."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.atomic import write_atomic
from fer_batch.onnx.export import check_onnx
from fer_batch.onnx.session import onnx_runtime

if TYPE_CHECKING:
    import onnx


def quantize(network: Path, out: Path, batches: Iterable[NDArray[np.float32]]) -> None:
    """Quantize an ONNX file to INT8: weights per output channel, activations per tensor, statically (Jacob et al. 2018,
    "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference").

    The layers that produce the outputs, and what follows them, stay in float32: scores, sizes and positions in one map
    have ranges too different for one scale (in the detector, the correlation of head pitch fell from 0.50 to 0.36), and
    probabilities in steps of 1/256 have no order among the low ones. Weights use seven
    bits: without VNNI instructions x86 adds pairs of products in 16 bits, which eight bits overflow.

    Args:
        network: The float32 file.
        out: The file to write.
        batches: Calibration inputs, float32, from which the ranges of activations are taken.

    Raises:
        UsageError: The package onnx is missing.
    """
    check_onnx()
    onnx_runtime()
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter(batches)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"input": batch}

    model = onnx.load(network)  # Given a path, quantize_static would leave a file beside it.

    def write(temporary: Path) -> None:
        quantize_static(
            model,
            temporary,
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=_last_nodes(model.graph),
        )

    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)  # It recommends simplifying the graph first; there is nothing to simplify.
    try:
        write_atomic(out, write)
    finally:
        root.setLevel(level)


def all_levels(*shape: int) -> NDArray[np.float32]:
    """A calibration batch for `take_levels`: 0 in one half and 255 in the other, so that the range of the input is 0 to
    255 whatever the other batches hold; (1, *shape)."""
    row = np.repeat(np.array([0, 255], np.float32), shape[-1] // 2)
    return np.broadcast_to(row, (1, *shape)).copy()


def take_levels(network: Path) -> None:
    """Let a quantized network that reads levels 0..255 take them as bytes, which saves it a pass over the picture.

    Args:
        network: The ONNX file, changed in place. Its input must have been calibrated to a step of 1, by
            `all_levels`.

    Raises:
        ValueError: Where the input has another step.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    model = onnx.load(network)
    graph = model.graph
    levels = ["input", *(node.output[0] for node in graph.node if list(node.input) == ["input"])]  # Maybe transposed.
    (node,) = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in levels]
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    step, zero = (float(constants[name]) for name in node.input[1:])
    if (step, zero) != (1.0, 0.0):
        raise ValueError(f"{network}: its input has a step of {step} from {zero}; levels need 1 from 0")
    for reader in graph.node:
        for place, name in enumerate(reader.input):
            if name == node.output[0]:
                reader.input[place] = node.input[0]
    graph.node.remove(node)
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    del graph.value_info[:]  # They name the types from before.
    onnx.checker.check_model(model)
    write_atomic(network, lambda temporary: temporary.write_bytes(model.SerializeToString()))


def _last_nodes(graph: onnx.GraphProto) -> list[str]:
    """The names of the last convolution or dense layer before each output, and of all nodes behind it."""
    producers = {name: node for node in graph.node for name in node.output}
    last, pending = set(), [output.name for output in graph.output]
    while pending:
        node = producers.get(pending.pop())
        if node is None or node.name in last:
            continue
        last.add(node.name)
        if node.op_type not in ("Conv", "Gemm"):
            pending += node.input
    return sorted(last)
