"""Begin a training with the weights of an earlier network, so that what it learnt is not learnt again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.model_folder import ONNX_FILE
from fer_batch.detection.network import face_network
from fer_batch.errors import DatasetError
from fer_batch.model_folder import WEIGHTS_FILE
from fer_batch.onnx.export import check_onnx
from fer_batch.training.detector.recipe import RECIPE_FILE, read_detector_recipe

#: Length of a filter as networks of ReLUs begin (He et al. 2015): what the learning rate was chosen for.
_FILTER_LENGTH = np.sqrt(2.0)


def start_from(folder: Path, weights: list[Any], pictures: Iterable[NDArray[np.float32]]) -> None:
    """Set `weights`, those of a new network, so that it answers as the network in `folder` does.

    The folder is one that was trained in, or, without its weights, a detector's, of which only the ONNX file is left;
    then `pictures`, float32 (n, side, side, 1), tell what batch normalization is to begin with. The new network may be
    wider, with as many convolutions. Raises DatasetError for a folder that does not fit.
    """
    recipe = read_detector_recipe(folder / RECIPE_FILE)
    narrow = face_network(**recipe.options)
    try:
        if not (folder / WEIGHTS_FILE).is_file() and (folder / ONNX_FILE).is_file():
            unfold(folder / ONNX_FILE, narrow, pictures)
        else:
            narrow.load_weights(folder / WEIGHTS_FILE)
    except (OSError, ValueError) as error:
        raise DatasetError(f"recipe: start {folder}: its weights can't be used ({error})") from error
    known = narrow.get_weights()
    if len(known) != len(weights) or any(
        old.ndim != len(new.shape) or any(a > b for a, b in zip(old.shape, new.shape, strict=True))
        for old, new in zip(known, weights, strict=True)
    ):
        raise DatasetError(f"recipe: start {folder}: its network does not fit into the one to be trained")
    for old, new in zip(known, weights, strict=True):
        new.assign(widened(old, keras.ops.convert_to_numpy(new)))


def widened(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float32]:
    """`new` with `old` in its first channels. A kernel's further inputs do not reach the old outputs, so answers stay
    those of the narrower network; its further outputs stay random, for the layers behind to find a use for (as in Chen
    et al. 2016, "Net2Net", but with zeros in place of copies)."""
    wide = np.array(new)
    if wide.ndim == 1:
        wide[: len(old)] = old
        return wide
    inputs, outputs = old.shape[-2:]
    wide[..., inputs:, :outputs] = 0
    wide[..., :inputs, :outputs] = old
    return wide


def unfold(path: Path, network: keras.Model, pictures: Iterable[NDArray[np.float32]]) -> None:
    """Set a network's weights from the file that `export_onnx` made of one of its kind.

    The file has batch normalization folded into the convolutions. Here filters get the length that they begin with,
    means and variances are measured on `pictures`, and scale and offset are what makes the answers those of the file.
    Raises ValueError where the file has another network, UsageError without the package onnx.
    """
    check_onnx()
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    folded = [[constants[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]
    convolutions = [one for one in network.layers if isinstance(one, keras.layers.Conv2D)]
    normalized = [one for one in convolutions if not one.use_bias]
    normalizations = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    (scaled,) = (one for one in network.layers if isinstance(one, keras.layers.Rescaling))
    behind = dict(zip([one.name for one in normalized], normalizations, strict=True))
    lengths: list[NDArray[np.float32]] = []
    for place, (layer, (kernel, bias)) in enumerate(zip(convolutions, folded, strict=True)):
        # The export took the scaling of gray levels into the first kernel.
        kernel = kernel.transpose(2, 3, 1, 0) / (scaled.scale if place == 0 else 1.0)
        if layer.use_bias:
            layer.set_weights([kernel, bias])
            continue
        length = np.sqrt((kernel**2).sum((0, 1, 2))) / _FILTER_LENGTH + np.finfo(np.float32).tiny
        layer.set_weights([kernel / length])
        unit = np.full_like(bias, np.sqrt(1 + behind[layer.name].epsilon))
        behind[layer.name].set_weights([length * unit, bias, np.zeros_like(bias), np.ones_like(bias)])
        lengths.append(length)
    means, variances = _moments(keras.Model(network.inputs, [one.output for one in normalized]), pictures)
    for layer, length, mean, variance in zip(normalizations, lengths, means, variances, strict=True):
        offset = layer.get_weights()[1] + length * mean
        layer.set_weights([length * np.sqrt(variance + layer.epsilon), offset, mean, variance])


def _moments(
    network: keras.Model, pictures: Iterable[NDArray[np.float32]]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Mean and variance of each channel of each output, over all pictures and places."""
    sums = []
    for batch in pictures:
        outputs = [np.asarray(one, np.float64) for one in network.predict_on_batch(batch)]
        sums.append([np.stack([one.mean((0, 1, 2)), (one**2).mean((0, 1, 2))]) for one in outputs])
    moments = [np.mean(one, axis=0) for one in zip(*sums, strict=True)]
    return [mean for mean, _ in moments], [np.maximum(square - mean**2, 0) for mean, square in moments]
