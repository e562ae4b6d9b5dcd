"""Write a trained face network as the ONNX file that a run reads."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.builtin import BLOCK
from fer_batch.detection.network import CHANNELS
from fer_batch.onnx.export import Graph

if TYPE_CHECKING:
    import keras

#: The blocks that the first convolutions of a file read.
READ_BLOCKS = (BLOCK, (BLOCK[0] // 2, BLOCK[1] // 2))


def export_onnx(network: keras.Model, path: Path) -> None:
    """Write a network as ONNX.

    Input `input`: float32 (1, h / 2, w / 4, 24), Y, U, V as 0..255 in `blocks`, h and w multiples of 32. Output
    `faces`: (cells, 15), the maps' cells in the order of `network.cells`.

    Args:
        network: A network of `plain_network`.
        path: The file.

    Raises:
        UsageError: Without the package onnx.
    """
    graph = Graph()
    maps = graph.add_network(network)
    convolutions = [index for index, node in enumerate(graph.nodes) if node[0] == "Conv"]
    for index, block in zip(convolutions, READ_BLOCKS, strict=False):
        _read_blocks(graph, index, block)
    _turn_input(graph, convolutions[0])
    graph.node("Concat", "faces", [_as_rows(graph, name) for name in maps], axis=0)
    graph.save(path, "face-detector", [1, "rows", "columns", 3 * prod(BLOCK)], {"faces": ["cells", CHANNELS]})


def _turn_input(graph: Graph, first: int) -> None:
    """Let the graph read channels last, as pictures are stored and as INT8 convolutions compute."""
    kind, name, (_, *weights), options = graph.nodes[first]
    graph.nodes[first] = (kind, name, ["channels_first", *weights], options)
    graph.nodes.insert(0, ("Transpose", "channels_first", ["input"], {"perm": [0, 3, 1, 2]}))


def _read_blocks(graph: Graph, index: int, block: tuple[int, int]) -> None:
    """Let a convolution, 3 x 3 with a stride of 2, read `blocks`, and give blocks of its answers, half as high and wide
    but for those of one pixel. More weights are 0 then, but INT8 takes half of the time: few channels are slow."""
    kind, name, inputs, options = graph.nodes[index]
    kernel, bias = (graph.constants[constant] for constant in inputs[1:])
    if (kernel.shape[2], options["strides"], options["pads"]) != (3, [2, 2], [1, 1, 1, 1]):
        raise ValueError(f"{name}: not a 3 x 3 convolution with a stride of 2")
    read = blocks_kernel(kernel, block)
    graph.constant(inputs[1], read)
    graph.constant(inputs[2], np.tile(bias, len(read) // len(kernel)))
    strides, after = [2 if side == 1 else 1 for side in block], [1 if side == 1 else 0 for side in block]
    options = {"kernel_shape": list(read.shape[2:]), "strides": strides, "pads": [1, 1, *after]}
    graph.nodes[index] = (kind, name, inputs, options)


def blocks_kernel(kernel: NDArray[np.float32], block: tuple[int, int]) -> NDArray[np.float32]:
    """A kernel that reads blocks of pixels.

    Args:
        kernel: Of a convolution with a stride of 2, (outputs, channels, 3, 3).
        block: Height and width of the blocks that are read, each 1 or even. Those of the answers are half as long, but
            1 stays 1.

    Returns:
        (outputs * pixels of a block of answers, channels * pixels of a block, rows, columns); 3 rows or columns where
        blocks have one, otherwise 2.
    """
    outputs, channels = kernel.shape[:2]
    rows, columns = (max(1, side // 2) for side in block)
    height, width = (3 if side == 1 else 2 for side in block)
    pixels = np.zeros((rows, columns, outputs, height * block[0], width * block[1], channels), np.float32)
    for row, column in np.ndindex(rows, columns):
        # A pixel above the block's first row, or left of its first column, lies in the block before.
        top, left = block[0] - 1 + 2 * row, block[1] - 1 + 2 * column
        pixels[row, column, :, top : top + 3, left : left + 3] = kernel.transpose(0, 2, 3, 1)
    split = pixels.reshape(-1, height, block[0], width, block[1], channels).transpose(0, 2, 4, 5, 1, 3)
    return np.ascontiguousarray(split.reshape(-1, channels * prod(block), height, width))


def pixels_kernel(kernel: NDArray[np.float32], block: tuple[int, int]) -> NDArray[np.float32]:
    """The kernel that `blocks_kernel` was given, of what it returned."""
    height, width = kernel.shape[2:]
    split = kernel.reshape(len(kernel), *block, -1, height, width).transpose(0, 3, 4, 1, 5, 2)
    pixels = split.reshape(*split.shape[:2], height * block[0], width * block[1])
    outputs = len(kernel) // prod(max(1, side // 2) for side in block)
    top, left = block[0] - 1, block[1] - 1
    return np.ascontiguousarray(pixels[:outputs, :, top : top + 3, left : left + 3])


def _as_rows(graph: Graph, name: str) -> str:
    """Turn a map's last convolution, 1 x 1, into a matrix product over its cells: that needs no other order of the
    values in memory."""
    (index,) = [index for index, node in enumerate(graph.nodes) if node[1] == name]
    _, _, (source, kernel, bias), _ = graph.nodes.pop(index)
    weights = graph.constants[kernel][:, :, 0, 0]
    graph.constant(kernel, weights)
    channels_last = graph.node("Transpose", f"{name}_channels_last", [source], perm=[0, 2, 3, 1])
    shape = graph.constant(f"{name}_shape", np.array([-1, weights.shape[1]], np.int64))
    rows = graph.node("Reshape", f"{name}_rows", [channels_last, shape])
    return graph.node("Gemm", name, [rows, kernel, bias], transB=1)
