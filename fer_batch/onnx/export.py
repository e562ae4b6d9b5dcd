"""A Keras network as an ONNX graph, layer by layer, channels first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.atomic import write_atomic
from fer_batch.errors import missing_extra

if TYPE_CHECKING:
    import keras

_OPSET, _IR_VERSION = 13, 8
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh"}
_MERGERS = {"Add": "Add", "Multiply": "Mul"}


def has_onnx() -> bool:
    """Whether the package onnx is installed; ONNX Runtime, which reads the files, does without it."""
    return find_spec("onnx") is not None


def check_onnx() -> None:
    """Raise UsageError where the package onnx is missing."""
    if not has_onnx():
        raise missing_extra("writing an ONNX file needs the package onnx", "train")


@dataclass(frozen=True)
class Tensor:
    """A value in the graph, with the scaling and padding that the next convolution absorbs."""

    name: str
    scale: float = 1.0
    padding: int = 0


class Graph:
    """An ONNX graph being built.

    Attributes:
        nodes: Operator, output, inputs and attributes of each node, in order.
        constants: Constants by name.
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[str, str, list[str], dict[str, Any]]] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add_network(self, network: keras.Model) -> list[str]:
        """Add all layers of a network with one input.

        Batch normalization directly after a convolution or a dense layer is folded into it; no other layer may read
        that convolution's output.

        Returns:
            The names of the network's outputs.

        Raises:
            ValueError: No conversion is known for one of the layers.
        """
        tensors = {id(network.inputs[0]): Tensor("input")}
        for layer in network.layers[1:]:
            node = layer._inbound_nodes[0]
            inputs = [tensors[id(tensor)] for tensor in node.input_tensors]
            tensors[id(node.output_tensors[0])] = self._add_layer(layer, inputs)
        return [tensors[id(output)].name for output in network.outputs]

    def save(self, path: Path, name: str, source: Sequence[int | str], outputs: Mapping[str, Sequence[Any]]) -> None:
        """Write the graph as an ONNX file.

        Args:
            path: The file.
            name: The graph's name.
            source: Shape of the input, which is named `input`. A dimension given by name may have any length.
            outputs: Shapes of the outputs by name.

        Raises:
            UsageError: The package onnx is missing.
        """
        check_onnx()
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        model = helper.make_model(
            helper.make_graph(
                [
                    helper.make_node(operator, inputs, [out], name=out, **options)
                    for operator, out, inputs, options in self.nodes
                ],
                name,
                [helper.make_tensor_value_info("input", TensorProto.FLOAT, source)],
                [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape) for output, shape in outputs.items()],
                [numpy_helper.from_array(value, constant) for constant, value in self.constants.items()],
            ),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        onnx.checker.check_model(model)
        write_atomic(path, lambda temporary: temporary.write_bytes(model.SerializeToString()))

    def node(self, operator: str, name: str, inputs: list[str], **options: Any) -> str:
        """Add a node; returns the name of its output, which is the node's own."""
        self.nodes.append((operator, name, inputs, options))
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Set a constant; returns its name."""
        self.constants[name] = value
        return name

    def _add_layer(self, layer: keras.layers.Layer, inputs: list[Tensor]) -> Tensor:
        kind = next(base.__name__ for base in type(layer).__mro__ if base.__module__.startswith("keras."))
        names = [tensor.name for tensor in inputs]
        if kind == "Rescaling" and not layer.offset:
            return replace(inputs[0], scale=float(layer.scale))
        if kind == "ZeroPadding2D":
            return replace(inputs[0], padding=layer.padding[0][0])
        if kind == "Conv2D":
            return Tensor(self._activated(layer, self._convolution(layer, inputs[0])))
        if any(tensor != Tensor(tensor.name) for tensor in inputs):
            raise ValueError(f"{layer.name}: scaling and padding must be followed by a convolution")
        if kind == "Dropout":
            return inputs[0]
        if kind == "Dense":
            return Tensor(self._activated(layer, self._dense(layer, names[0])))
        if kind == "EinsumDense" and layer.equation == "nhwc,hwc->nc":
            return Tensor(self._weighted_mean(layer, names[0]))
        if kind == "BatchNormalization":
            return Tensor(self._normalization(layer, names[0]))
        if kind == "ReLU":
            return Tensor(self.node("Relu", layer.name, names))
        if kind in _MERGERS:
            merged, *others = names
            for count, other in enumerate(others):
                merged = self.node(_MERGERS[kind], f"{layer.name}_{count}", [merged, other])
            return Tensor(merged)
        if kind == "MaxPooling2D":
            windows = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
            return Tensor(self.node("MaxPool", layer.name, names, **windows))
        if kind == "GlobalAveragePooling2D":
            pooled = self.node("GlobalAveragePool", layer.name, names)
            return Tensor(pooled if layer.keepdims else self.node("Flatten", f"{pooled}_flat", [pooled]))
        if kind == "Flatten":  # The weights of the next layer expect Keras's order, channels last.
            transposed = self.node("Transpose", f"{layer.name}_transposed", names, perm=[0, 2, 3, 1])
            return Tensor(self.node("Flatten", layer.name, [transposed]))
        if kind == "UpSampling2D":
            factors = self.constant(f"{layer.name}_factors", np.array([1, 1, 2, 2], np.float32))
            options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "mode": "nearest"}
            return Tensor(self.node("Resize", layer.name, [*names, "", factors], **options))
        raise ValueError(f"{layer.name}: no rule to write a {kind} as ONNX")

    def _activated(self, layer: keras.layers.Layer, name: str) -> str:
        if (activation := layer.activation.__name__) == "linear":
            return name
        if activation not in _ACTIVATIONS:
            raise ValueError(f"{layer.name}: no rule to write the activation {activation} as ONNX")
        return self.node(_ACTIVATIONS[activation], f"{name}_{activation}", [name])

    def _convolution(self, layer: keras.layers.Conv2D, source: Tensor) -> str:
        weights = layer.get_weights()
        kernel = weights[0].transpose(3, 2, 0, 1) * np.float32(source.scale)
        bias = weights[1] if layer.use_bias else np.zeros(len(kernel), np.float32)
        size, stride = kernel.shape[2], layer.strides[0]
        before = after = source.padding
        if layer.padding == "same":
            # As TensorFlow: as much as the last window needs, the odd pixel at the end.
            side = layer.input.shape[1] if stride > 1 else 0
            total = size - 1 if stride == 1 else max(0, (-(-side // stride) - 1) * stride + size - side)
            before, after = total // 2, total - total // 2
        inputs = [source.name, *self._weights(layer, kernel, bias)]
        options = {"kernel_shape": [size, size], "strides": [stride] * 2, "pads": [before, before, after, after]}
        return self.node("Conv", layer.name, inputs, **options)

    def _dense(self, layer: keras.layers.Dense, source: str) -> str:
        kernel, bias = layer.get_weights()
        if len(layer.input.shape) == 4:  # A dense layer at every position is a 1x1 convolution.
            kernel = kernel.T[:, :, None, None]
            return self.node("Conv", layer.name, [source, *self._weights(layer, kernel, bias)], kernel_shape=[1, 1])
        return self.node("Gemm", layer.name, [source, *self._weights(layer, kernel.T, bias)], transB=1)

    def _weighted_mean(self, layer: keras.layers.EinsumDense, source: str) -> str:
        """A weighted sum over the positions of each channel: a depthwise convolution as large as its input."""
        (kernel,) = layer.get_weights()
        inputs = [source, self.constant(f"{layer.name}_kernel", kernel.transpose(2, 0, 1)[:, None])]
        options = {"kernel_shape": list(kernel.shape[:2]), "group": kernel.shape[2]}
        return self.node("Flatten", f"{layer.name}_flat", [self.node("Conv", layer.name, inputs, **options)])

    def _weights(self, layer: keras.layers.Layer, kernel: NDArray[Any], bias: NDArray[Any]) -> list[str]:
        return [self.constant(f"{layer.name}_kernel", kernel), self.constant(f"{layer.name}_bias", bias)]

    def _normalization(self, layer: keras.layers.BatchNormalization, source: str) -> str:
        gamma, beta, mean, variance = (weight.astype(np.float64) for weight in layer.get_weights())
        if next((operator for operator, name, _, _ in self.nodes if name == source), "input") not in ("Conv", "Gemm"):
            values = zip(("gamma", "beta", "mean", "variance"), (gamma, beta, mean, variance), strict=True)
            inputs = [self.constant(f"{layer.name}_{name}", value.astype(np.float32)) for name, value in values]
            return self.node("BatchNormalization", layer.name, [source, *inputs], epsilon=float(layer.epsilon))
        factor = gamma / np.sqrt(variance + layer.epsilon)
        kernel, bias = (self.constants[f"{source}_{part}"] for part in ("kernel", "bias"))
        per_filter = factor.reshape(-1, *[1] * (kernel.ndim - 1))
        self.constant(f"{source}_kernel", (kernel * per_filter).astype(np.float32))
        self.constant(f"{source}_bias", ((bias - mean) * factor + beta).astype(np.float32))
        return source
