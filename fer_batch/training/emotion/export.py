"""Write an emotion model as ONNX: in float32, and in 8 bits into its folder."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_batch.emotion.keras_model import EmotionNetwork
from fer_batch.emotion.model_folder import write_config
from fer_batch.model_folder import INT8_FILE, file_sha256
from fer_batch.onnx.export import Graph, check_onnx
from fer_batch.onnx.quantization import quantize
from fer_batch.training.emotion.dataset import Faces

if TYPE_CHECKING:
    import keras

#: So many faces tell the ranges of activations.
_FOR_RANGES = 1024
_BATCH = 64


def export_onnx(network: keras.Model, path: Path) -> None:
    """Write an emotion network: float32 (faces, 1, side, side) to logits (faces, outputs), faces of any number. Raises
    UsageError without the package onnx."""
    graph = Graph()
    (output,) = graph.add_network(network)
    _, height, width, channels = network.input_shape
    graph.save(path, network.name, ["faces", channels, height, width], {output: ["faces", network.output_shape[-1]]})


def quantize_model(folder: Path, faces: Faces) -> None:
    """Write a model folder's int8.onnx and tell its config, with ranges from faces of the `Training` split.

    Until the file is there whole, the folder is one without it. Raises ModelFolderError for a folder that can't be
    used, DatasetError without faces of that split, UsageError without the package onnx.
    """
    check_onnx()
    network = EmotionNetwork(folder)
    config = replace(network.config, int8_sha256=None)
    write_config(folder, config)
    training = faces.split("Training").images
    drawn = np.random.default_rng(0).permutation(len(training))[:_FOR_RANGES]
    images = network.config.preprocess(training[drawn]).transpose(0, 3, 1, 2)
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside, "float32.onnx")
        export_onnx(network.model, path)
        quantize(path, folder / INT8_FILE, (images[i : i + _BATCH] for i in range(0, len(images), _BATCH)))
    write_config(folder, replace(config, int8_sha256=file_sha256(folder / INT8_FILE)))
