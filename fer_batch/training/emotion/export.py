"""Write an emotion model as ONNX: in float32 to any file, in INT8 into its folder."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_batch.emotion.keras_model import KerasModel
from fer_batch.emotion.model_folder import write_config
from fer_batch.model_folder import INT8_FILE, file_sha256
from fer_batch.onnx.export import Graph, check_onnx
from fer_batch.onnx.quantization import quantize
from fer_batch.training.emotion.dataset import Faces

if TYPE_CHECKING:
    import keras

#: Faces from which the ranges of activations are taken.
_CALIBRATION_FACES = 1024
_BATCH = 64


def export_onnx(network: keras.Model, path: Path) -> None:
    """Write a network from float32 (n, 1, side, side) to logits (n, outputs), for any n.

    Raises:
        UsageError: The package onnx is missing.
    """
    graph = Graph()
    (output,) = graph.add_network(network)
    _, height, width, channels = network.input_shape
    graph.save(path, network.name, ["faces", channels, height, width], {output: ["faces", network.output_shape[-1]]})


def quantize_model(folder: Path, faces: Faces) -> None:
    """Write a model folder's int8.onnx and record it in the config.

    Until the file is complete, the folder counts as one without it.

    Args:
        folder: The model folder.
        faces: The faces it was trained on; those of the `Training` split calibrate the quantization.

    Raises:
        ModelFolderError: The folder can't be used.
        DatasetError: There are no faces of that split.
        UsageError: The package onnx is missing.
    """
    check_onnx()
    network = KerasModel(folder)
    config = replace(network.config, int8_sha256=None)
    write_config(folder, config)
    training = faces.split("Training").images
    drawn = np.random.default_rng(0).permutation(len(training))[:_CALIBRATION_FACES]
    images = network.config.preprocess(training[drawn]).transpose(0, 3, 1, 2)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "float32.onnx")
        export_onnx(network.model, path)
        quantize(path, folder / INT8_FILE, (images[i : i + _BATCH] for i in range(0, len(images), _BATCH)))
    write_config(folder, replace(config, int8_sha256=file_sha256(folder / INT8_FILE)))
