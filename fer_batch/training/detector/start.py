"""Begin a training with the network of a finished one, or of a detector that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.layers import AFTER_RELU
from fer_batch.detection.model_folder import ONNX_FILE
from fer_batch.errors import DatasetError
from fer_batch.onnx.export import check_onnx
from fer_batch.training.detector.export import READ_BLOCKS, pixels_kernel

if TYPE_CHECKING:
    import keras

#: Length of a filter as networks of ReLUs begin (He et al. 2015): what the learning rate was chosen for.
_FILTER_LENGTH = float(np.sqrt(2.0))


def start_from(folder: Path, network: keras.Model) -> None:
    """Give a network the weights of the file `detector.onnx` in a folder, so that it answers as that one does.

    Args:
        folder: A detector's folder.
        network: What `face_network` built, with the same arguments as the folder's.

    Raises:
        DatasetError: For a folder without that file, or with another network.
        UsageError: Without the package onnx.
    """
    check_onnx()
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(folder / ONNX_FILE).graph
        constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
        layers = [layer for layer in network.layers if layer.weights]
        for index, layer in enumerate(layers):
            kernel, bias = (constants[f"{layer.name}_{part}"] for part in ("kernel", "bias"))
            if kernel.ndim == 2:  # A matrix product over cells.
                kernel = kernel[:, :, None, None]
            if index < len(READ_BLOCKS):
                kernel = pixels_kernel(kernel, READ_BLOCKS[index])
            if index == 0:
                (rescaling,) = (other for other in network.layers if type(other).__name__ == "Rescaling")
                kernel = kernel / rescaling.scale
            layer.set_weights(_trainable(kernel.transpose(2, 3, 1, 0), bias[: len(kernel)], layer))
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"recipe: start {folder}: its network can't be used ({error})") from error


def _trainable(
    kernel: NDArray[np.float32], bias: NDArray[np.float32], layer: keras.layers.Layer
) -> list[NDArray[np.float32]]:
    """A convolution's weights; of a standardized one filters as long as untrained ones, and gains that scale them."""
    if not hasattr(layer, "gain"):
        return [kernel, bias]
    length = np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
    unused = length < np.finfo(np.float32).tiny  # Such a filter keeps its random weights, and its gain of 0.
    scaled = kernel / np.where(unused, 1, length) * _FILTER_LENGTH
    fresh = layer.get_weights()[0]
    return [np.where(unused, fresh, scaled).astype(np.float32), bias, (length / AFTER_RELU).astype(np.float32)]
