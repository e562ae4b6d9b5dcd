"""The original project's network, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fer_batch.models.architectures import ARCHITECTURES, all_options


def build(classes: int = 7, **options: Any) -> Any:
    return ARCHITECTURES["classic-cnn"](classes, **options)


def kinds(network: Any) -> list[str]:
    """The classes of the layers, in order."""
    return [type(layer).__name__ for layer in network.layers]


BLOCK = ["Conv2D"] * 3 + ["MaxPooling2D"]


def test_layers_without_batch_normalization() -> None:
    dense = ["Dense", "ReLU", "Dropout"]
    assert kinds(build(dense=8, batch_norm=False)) == ["InputLayer", *BLOCK * 3, "Flatten", *dense * 2, "Dense"]


def test_batch_normalization_follows_each_pooling_and_each_dense_layer() -> None:
    block = [*BLOCK, "BatchNormalization"]
    dense = ["Dense", "BatchNormalization", "ReLU", "Dropout"]
    assert kinds(build(dense=8)) == ["InputLayer", *block * 3, "Flatten", *dense * 2, "Dense"]


def test_convolutions_pooling_and_dense_layers() -> None:
    network = build(dense=16, dropout=0.3)
    convolutions = [layer for layer in network.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions] == [32] * 3 + [64] * 3 + [128] * 3
    assert {(layer.kernel_size, layer.padding, layer.activation.__name__) for layer in convolutions} == {
        ((3, 3), "same", "relu")
    }
    pools = [layer for layer in network.layers if type(layer).__name__ == "MaxPooling2D"]
    assert [(layer.pool_size, layer.output.shape[1:]) for layer in pools] == [
        ((2, 2), (24, 24, 32)),
        ((2, 2), (12, 12, 64)),
        ((2, 2), (6, 6, 128)),
    ]
    assert [layer.units for layer in network.layers if type(layer).__name__ == "Dense"] == [16, 16, 7]
    assert [layer.rate for layer in network.layers if type(layer).__name__ == "Dropout"] == [0.3, 0.3]


@pytest.mark.parametrize("classes", [6, 7])
def test_input_and_output(classes: int) -> None:
    network = build(classes, dense=8)
    assert network.input_shape == (None, 48, 48, 1)
    assert network.output_shape == (None, classes)
    logits = network.layers[-1]
    assert logits.activation.__name__ == "linear"
    outputs = np.asarray(network(np.random.default_rng(0).random((2, 48, 48, 1), dtype=np.float32)))
    assert (outputs.shape, outputs.dtype) == ((2, classes), np.float32)


def test_logits_stay_float32_in_mixed_precision() -> None:
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    network = build(dense=8)
    assert network.layers[1].compute_dtype == "bfloat16"
    assert network.layers[-1].compute_dtype == "float32"


def test_defaults_are_filled_in_and_what_is_given_wins() -> None:
    filled = all_options("classic-cnn", {"dense": 8})
    assert filled["dense"] == 8
    assert sorted(filled) == ["batch_norm", "dense", "dropout"]
    assert kinds(build(**filled)) == kinds(build(dense=8))
