"""Write a trained face network as the ONNX file that a run reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_batch.detection.network import BOX, CHANNELS, LANDMARKS, SCORE, STRIDES
from fer_batch.onnx.export import Graph

if TYPE_CHECKING:
    import keras


def export_onnx(network: keras.Model, path: Path) -> None:
    """Write a network as ONNX.

    Input `input`: float32 (1, 3, h, w), Y, U, V as 0..255, sides multiples of 32. Outputs, for each stride s: `cls_s`,
    the score, (1, cells, 1); `bbox_s` (1, cells, 4); `kps_s` (1, cells, 10), both in the units of cv2.FaceDetectorYN.

    Args:
        network: A network of `plain_network`.
        path: The file.

    Raises:
        UsageError: Without the package onnx.
    """
    graph = Graph()
    for stride, name in zip(STRIDES, graph.add_network(network), strict=True):
        _add_outputs(graph, stride, name)
    kinds = (("cls", 1), ("bbox", 4), ("kps", 10))
    outputs = {f"{kind}_{stride}": [1, f"cells_{stride}", size] for kind, size in kinds for stride in STRIDES}
    graph.save(path, "face-detector", [1, 3, "height", "width"], outputs)


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
