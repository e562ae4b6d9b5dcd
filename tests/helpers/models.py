"""Model folders with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: Pixels of a crop.
_PIXELS = 48 * 48


def make_model(folder: Path, labels: tuple[str, ...]) -> Path:
    """A float32 model: runs compute it with TensorFlow."""
    import keras

    from fer_batch.emotion.architectures import ARCHITECTURES
    from fer_batch.emotion.model_folder import ModelConfig, write_config
    from fer_batch.model_folder import WEIGHTS_FILE, file_sha256

    keras.utils.set_random_seed(1)
    network = ARCHITECTURES["classic-cnn"](len(labels), dense=8)
    network.save_weights(folder / WEIGHTS_FILE)
    digest = file_sha256(folder / WEIGHTS_FILE)
    heads = {"fer2013": 1.5}
    config = ModelConfig("tiny", "1", "classic-cnn", labels, "standardize", heads, "fer2013", digest, {"dense": 8})
    write_config(folder, config)
    return folder


def make_face_network(path: Path) -> Path:
    """The ONNX file of a tiny face detector with random weights; Keras makes it."""
    import keras

    from fer_batch.detection.network import face_network, plain_network
    from fer_batch.training.detector.export import export_onnx

    keras.utils.set_random_seed(1)
    options = {"stem": (2, 3), "widths": (3, 4, 4), "blocks": (0, 0, 0), "neck": 3}
    network = face_network(**options)
    rng = np.random.default_rng(4)
    network.set_weights([weight + rng.normal(0, 0.02, weight.shape) for weight in network.get_weights()])
    export_onnx(plain_network(network, **options), path)
    return path


def make_onnx_model(folder: Path, labels: tuple[str, ...]) -> Path:
    """A model whose int8.onnx is a single dense layer: runs on the CPU start no TensorFlow for it. Its weights file is
    a stand-in that nothing loads."""
    from fer_batch.emotion.model_folder import ModelConfig, write_config
    from fer_batch.model_folder import INT8_FILE, WEIGHTS_FILE, file_sha256
    from fer_batch.onnx.export import Graph

    graph = Graph()
    weights = np.random.default_rng(1).normal(0, 2 / np.sqrt(_PIXELS), (_PIXELS, len(labels))).astype(np.float32)
    pixels = graph.node("Flatten", "pixels", ["input"])
    graph.node("MatMul", "logits", [pixels, graph.constant("weights", weights)])
    graph.save(folder / INT8_FILE, "tiny", ["faces", 1, 48, 48], {"logits": ["faces", len(labels)]})
    (folder / WEIGHTS_FILE).write_bytes(b"not used")
    digests = {"weights_sha256": file_sha256(folder / WEIGHTS_FILE), "int8_sha256": file_sha256(folder / INT8_FILE)}
    heads = {"fer2013": 1.5}
    write_config(folder, ModelConfig("tiny", "1", "classic-cnn", labels, "standardize", heads, "fer2013", **digests))
    return folder
