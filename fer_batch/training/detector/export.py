"""Write a trained face network as the ONNX file that cv2.FaceDetectorYN reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import UsageError
from fer_batch.files import write_whole
from fer_batch.models.face_network import BOX, CHANNELS, LANDMARKS, SCORE, STRIDES

if TYPE_CHECKING:
    import keras

# OpenCV settles the sizes anew for every picture; the ones in the file only have to be valid.
_SIDE = 640
_OPSET, _IR_VERSION = 13, 8


def check_onnx() -> None:
    """Raise UsageError where the package onnx is missing."""
    if find_spec("onnx") is None:
        raise UsageError("writing a detector needs the package onnx; pip install 'fer-batch[train]'")


def export_onnx(network: keras.Model, path: Path) -> None:
    """Write `network` (see `face_network`) with batch normalization folded into its convolutions.

    Input `input`: float32 (1, 1, h, w), gray levels 0..255, sides multiples of 32. Outputs, for each stride s: `cls_s`
    and `obj_s` (1, cells, 1), both the score, since with a single class objectness says all and OpenCV ranks by the
    root of their product; `bbox_s` (1, cells, 4); `kps_s` (1, cells, 10). Raises UsageError without the package onnx.
    """
    check_onnx()
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = _Graph()
    tensors = {id(network.inputs[0]): _Tensor("input")}
    for layer in network.layers[1:]:
        node = layer._inbound_nodes[0]
        tensors[id(node.output_tensors[0])] = graph.add_layer(layer, [tensors[id(one)] for one in node.input_tensors])
    for stride, output in zip(STRIDES, network.outputs, strict=True):
        graph.add_outputs(stride, tensors[id(output)].name)
    kinds = (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    sizes = {f"{kind}_{stride}": [1, (_SIDE // stride) ** 2, size] for kind, size in kinds for stride in STRIDES}
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(kind, inputs, [name], **options) for kind, name, inputs, options in graph.nodes],
            "face-detector",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, _SIDE, _SIDE])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()],
            [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(model)
    write_whole(path, lambda aside: aside.write_bytes(model.SerializeToString()))


@dataclass(frozen=True)
class _Tensor:
    """A value in the graph, with the scaling and padding that the convolution which reads it takes in."""

    name: str
    scale: float = 1.0
    padding: int = 0


class _Graph:
    """Nodes (kind, output, inputs, options) and constants so far."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, str, list[str], dict[str, Any]]] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add_layer(self, layer: keras.layers.Layer, inputs: list[_Tensor]) -> _Tensor:
        """Add a layer; returns its output. Raises ValueError for a kind it has no rule for."""
        kind = next(one.__name__ for one in type(layer).__mro__ if one.__module__.startswith("keras."))
        names = [one.name for one in inputs]
        if kind == "Rescaling":
            return replace(inputs[0], scale=float(layer.scale))
        if kind == "ZeroPadding2D":
            return replace(inputs[0], padding=layer.padding[0][0])
        if kind == "Conv2D":
            return _Tensor(self._convolution(layer, inputs[0]))
        if kind == "BatchNormalization":
            self._fold(layer, names[0])
            return inputs[0]
        if kind in ("ReLU", "Add"):
            return _Tensor(self._node({"ReLU": "Relu"}.get(kind, kind), layer.name, names))
        if kind == "MaxPooling2D":
            return _Tensor(self._node("MaxPool", layer.name, names, kernel_shape=[2, 2], strides=[2, 2]))
        if kind == "UpSampling2D":
            factors = self._constant(f"{layer.name}_factors", np.array([1, 1, 2, 2], np.float32))
            options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "mode": "nearest"}
            return _Tensor(self._node("Resize", layer.name, [*names, "", factors], **options))
        raise ValueError(f"{layer.name}: no rule to write a {kind} as ONNX")

    def add_outputs(self, stride: int, name: str) -> None:
        """Cut a map into the outputs of one stride."""
        turned = self._node("Transpose", f"{name}_turned", [name], perm=[0, 2, 3, 1])
        shape = self._constant(f"shape_{stride}", np.array([1, -1, CHANNELS], np.int64))
        rows = self._node("Reshape", f"{name}_rows", [turned, shape])
        score = self._part(f"score_{stride}", rows, SCORE)
        for kind in ("cls", "obj"):
            self._node("Sigmoid", f"{kind}_{stride}", [score])
        self._part(f"bbox_{stride}", rows, BOX)
        self._part(f"kps_{stride}", rows, LANDMARKS)

    def _part(self, name: str, rows: str, channels: slice) -> str:
        limits = {"start": channels.start, "stop": channels.stop, "axis": 2}
        names = [self._constant(f"{name}_{key}", np.array([value], np.int64)) for key, value in limits.items()]
        return self._node("Slice", name, [rows, *names])

    def _convolution(self, layer: keras.layers.Conv2D, source: _Tensor) -> str:
        weights = layer.get_weights()
        kernel = weights[0].transpose(3, 2, 0, 1) * np.float32(source.scale)
        bias = weights[1] if layer.use_bias else np.zeros(len(kernel), np.float32)
        size = kernel.shape[2]
        padding = size // 2 if layer.padding == "same" else source.padding
        inputs = [self._constant(f"{layer.name}_kernel", kernel), self._constant(f"{layer.name}_bias", bias)]
        options = {"kernel_shape": [size, size], "strides": list(layer.strides), "pads": [padding] * 4}
        return self._node("Conv", layer.name, [source.name, *inputs], **options)

    def _fold(self, layer: keras.layers.BatchNormalization, convolution: str) -> None:
        gamma, beta, mean, variance = (one.astype(np.float64) for one in layer.get_weights())
        factor = gamma / np.sqrt(variance + layer.epsilon)
        kernel, bias = (self.constants[f"{convolution}_{part}"] for part in ("kernel", "bias"))
        self._constant(f"{convolution}_kernel", (kernel * factor[:, None, None, None]).astype(np.float32))
        self._constant(f"{convolution}_bias", ((bias - mean) * factor + beta).astype(np.float32))

    def _node(self, kind: str, name: str, inputs: list[str], **options: Any) -> str:
        self.nodes.append((kind, name, inputs, options))
        return name

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = value
        return name
