"""Write a trained face network as the ONNX file that a run reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.network import BOX, CHANNELS, LANDMARKS, SCORE, STRIDES
from fer_batch.onnx.export import Graph

if TYPE_CHECKING:
    import keras


def export_onnx(network: keras.Model, path: Path) -> None:
    """Write a network as ONNX.

    Input `input`: float32 (1, 12, h / 2, w / 2), Y, U, V as 0..255 in `blocks`, h and w multiples of 32. Outputs, for
    each stride s: `cls_s`, the score, (1, cells, 1); `bbox_s` (1, cells, 4); `kps_s` (1, cells, 10), both in the units
    of cv2.FaceDetectorYN.

    Args:
        network: A network of `plain_network`.
        path: The file.

    Raises:
        UsageError: Without the package onnx.
    """
    graph = Graph()
    for stride, name in zip(STRIDES, graph.add_network(network), strict=True):
        _add_outputs(graph, stride, name)
    _read_blocks(graph)
    kinds = (("cls", 1), ("bbox", 4), ("kps", 10))
    outputs = {f"{kind}_{stride}": [1, f"cells_{stride}", size] for kind, size in kinds for stride in STRIDES}
    graph.save(path, "face-detector", [1, 12, "height", "width"], outputs)


def _read_blocks(graph: Graph) -> None:
    """Let the first convolution, 3 x 3 with a stride of 2, read `blocks` in place of planes: then it is 2 x 2 with a
    stride of 1, of which 27 of 48 weights are not 0. As INT8 it takes half of the time."""
    index = next(index for index, node in enumerate(graph.nodes) if node[0] == "Conv")
    kind, name, inputs, options = graph.nodes[index]
    kernel = graph.constants[inputs[1]]
    outputs, channels, side, _ = kernel.shape
    if (side, options["strides"], options["pads"]) != (3, [2, 2], [1, 1, 1, 1]):
        raise ValueError(f"{name}: not a 3 x 3 convolution with a stride of 2")
    # A pixel above the block's first row, or left of its first column, lies in the block before.
    pixels = np.zeros((outputs, channels, 4, 4), np.float32)
    pixels[:, :, 1:, 1:] = kernel
    split = pixels.reshape(outputs, channels, 2, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4)
    graph.constant(inputs[1], np.ascontiguousarray(split).reshape(outputs, 4 * channels, 2, 2))
    graph.nodes[index] = (kind, name, inputs, {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [1, 1, 0, 0]})


def planes_kernel(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The kernel (outputs, channels, 3, 3) that reads planes, of one that reads their blocks (outputs, 4 channels, 2,
    2)."""
    outputs, channels = len(kernel), kernel.shape[1] // 4
    pixels = kernel.reshape(outputs, channels, 2, 2, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(pixels.reshape(outputs, channels, 4, 4)[:, :, 1:, 1:])


def _add_outputs(graph: Graph, stride: int, name: str) -> None:
    """Cut a map into the outputs of one stride."""
    turned = graph.node("Transpose", f"{name}_turned", [name], perm=[0, 2, 3, 1])
    shape = graph.constant(f"shape_{stride}", np.array([1, -1, CHANNELS], np.int64))
    rows = graph.node("Reshape", f"{name}_rows", [turned, shape])
    score = _part(graph, f"score_{stride}", rows, SCORE)
    graph.node("Sigmoid", f"cls_{stride}", [score])
    _part(graph, f"bbox_{stride}", rows, BOX)
    _part(graph, f"kps_{stride}", rows, LANDMARKS)


def _part(graph: Graph, name: str, rows: str, channels: slice) -> str:
    limits = {"start": channels.start, "stop": channels.stop, "axis": 2}
    names = [graph.constant(f"{name}_{key}", np.array([value], np.int64)) for key, value in limits.items()]
    return graph.node("Slice", name, [rows, *names])
