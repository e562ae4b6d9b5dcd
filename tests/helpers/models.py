"""Model folders with random weights."""

from __future__ import annotations

from pathlib import Path


def make_model(folder: Path, labels: tuple[str, ...]) -> Path:
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
