"""The networks, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fer_batch.emotion.architectures import ARCHITECTURES, _excitation, all_options, fold, network_side


def build(classes: int = 7, **options: Any) -> Any:
    return ARCHITECTURES["classic-cnn"](classes, **options)


def kinds(network: Any) -> list[str]:
    """The classes of the layers, in order."""
    return [type(layer).__name__ for layer in network.layers]


BLOCK = ["Conv2D"] * 3 + ["MaxPooling2D"]


@pytest.mark.slow
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


# The residual network.


def compact(**options: Any) -> Any:
    return ARCHITECTURES["compact-resnet"](14, **{"widths": (4, 6, 8), "blocks": (1, 2, 0), **options})


def test_stages_halve_the_picture_and_blocks_add_up() -> None:
    network = compact()
    stem = network.get_layer("stem")
    assert (stem.kernel_size, stem.output.shape[1:]) == ((6, 6), (24, 24, 4))
    assert network.get_layer("stage0_block0_second").output.shape[1:] == (24, 24, 4)
    assert network.get_layer("stage1_block1_second").output.shape[1:] == (12, 12, 6)
    assert network.get_layer("stage2").output.shape[1:] == (6, 6, 8)
    assert kinds(network).count("Add") == 3
    assert kinds(network).count("Conv2D") == kinds(network).count("BatchNormalization") == 1 + 2 + 2 * 3
    assert (network.input_shape, network.output_shape) == ((None, 48, 48, 1), (None, 14))


def test_the_shipped_size_has_less_than_five_million_parameters() -> None:
    assert ARCHITECTURES["compact-resnet"](14).count_params() < 5e6


@pytest.mark.parametrize("options", [{}, {"spatial_weights": True, "se_reduction": 2}])
def test_folding_changes_no_output(options: dict[str, Any]) -> None:
    """With statistics, scales and offsets as training leaves them, not those of a new network."""
    rng = np.random.default_rng(0)
    trained, folded = compact(**options), compact(**options, folded=True)
    for layer in trained.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    fold(trained, folded)
    faces = rng.normal(size=(5, 48, 48, 1)).astype(np.float32)
    expected = np.asarray(trained(faces))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(np.asarray(folded(faces)), expected, rtol=1e-3, atol=1e-4)
    assert "BatchNormalization" not in kinds(folded)


def test_spatial_weights_and_se_blocks_are_initialized_as_identities() -> None:
    plain, grown = compact(), compact(spatial_weights=True, se_reduction=2)
    names = {layer.name for layer in plain.layers if layer.trainable_variables}
    more = {layer.name for layer in grown.layers if layer.trainable_variables} - names
    excitations = {f"stage1_block{block}_{layer}" for block in (0, 1) for layer in ("squeeze", "excite")}
    assert more == {"spatial_weights"} | excitations
    for name in names:
        grown.get_layer(name).set_weights(plain.get_layer(name).get_weights())
    faces = np.random.default_rng(0).normal(size=(5, 48, 48, 1)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(grown(faces)), np.asarray(plain(faces)), rtol=1e-4, atol=1e-5)
    kernel = grown.get_layer("spatial_weights").get_weights()[0]
    grown.get_layer("spatial_weights").set_weights([kernel * np.arange(6)[:, None, None]])
    assert not np.allclose(np.asarray(grown(faces)), np.asarray(grown(faces[:, ::-1])), atol=1e-3)


def test_overlapping_windows_leave_no_pixel_of_54_out() -> None:
    network = compact(pool=3, side=54, spatial_weights=True)
    assert network.input_shape == (None, 54, 54, 1)
    pools = [layer for layer in network.layers if type(layer).__name__ == "MaxPooling2D"]
    assert [(layer.pool_size, layer.input.shape[1], layer.output.shape[1]) for layer in pools] == [
        ((3, 3), 27, 13),
        ((3, 3), 13, 6),
    ]
    assert network.get_layer("spatial_weights").get_weights()[0].shape == (6, 6, 8)


def test_how_it_is_built_is_no_option_of_the_trained_network() -> None:
    options = ["blocks", "dropout", "pool", "se_reduction", "side", "spatial_weights", "widths"]
    assert sorted(all_options("compact-resnet", {})) == options


@pytest.mark.parametrize(("options", "side"), [({}, 48), ({"side": 54}, 54)])
def test_the_side_of_what_a_network_sees(options: dict[str, Any], side: int) -> None:
    assert network_side(options) == side
    assert compact(**options).input_shape[1:3] == (side, side)


def test_se_block_weighs_each_channel_by_a_factor_between_minus_one_and_one() -> None:
    import keras

    rng = np.random.default_rng(0)
    inputs = keras.Input((2, 3, 4))
    block = keras.Model(inputs, _excitation(inputs, "block", 2))
    block.set_weights([rng.normal(size=weight.shape) for weight in block.get_weights()])
    squeeze, bias, excite, offset = block.get_weights()
    y = rng.normal(size=(5, 2, 3, 4)).astype(np.float32)
    factors = np.tanh(np.maximum(y.mean(axis=(1, 2)) @ squeeze + bias, 0) @ excite + offset)
    assert factors.min() < -0.1
    np.testing.assert_allclose(np.asarray(block(y)), y * factors[:, None, None], rtol=1e-4, atol=1e-5)
