"""Network architectures by name. Each maps (n, side, side, 1) float32 to (n, classes) logits in float32.

The side is 48, or what the option `side` says where an architecture has it.

Keras is imported where a network is built: the names are needed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_batch.emotion.preprocessing import CROP_SIZE

if TYPE_CHECKING:
    import keras

#: Arguments of an architecture that say nothing about the trained network.
_NOT_OPTIONS = ("classes", "folded")
_EPSILON = 1e-5
#: Suffix of the batch normalization that follows a convolution, after the convolution's name.
_NORMALIZED = "_normalized"


def classic_cnn(classes: int, dense: int = 256, dropout: float = 0.4, batch_norm: bool = True) -> keras.Model:
    """The original project's network: three blocks of three 3x3 convolutions (32, 64, 128 filters), each followed by
    2x2 max pooling, then two dense layers with dropout.

    Args:
        classes: Number of outputs.
        dense: Units of each dense layer.
        dropout: Dropout rate after each dense layer, 0 to 1.
        batch_norm: Add batch normalization after each pooling and in the dense layers, where it costs little. The
            original has none and converges far more slowly: 61.4 % of PublicTest after 29 epochs.

    Returns:
        A model from float32 (n, 48, 48, 1) to logits, float32 (n, classes).
    """
    import keras
    from keras import layers

    def normalized(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.BatchNormalization()(x) if batch_norm else x

    inputs = x = keras.Input((CROP_SIZE, CROP_SIZE, 1))
    for filters in (32, 64, 128):
        for _ in range(3):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal")(x)
        x = normalized(layers.MaxPooling2D()(x))
    x = layers.Flatten()(x)
    for _ in range(2):
        x = normalized(layers.Dense(dense, kernel_initializer="he_normal")(x))
        x = layers.Dropout(dropout)(layers.ReLU()(x))
    # Logits stay in float32 under mixed precision: the softmax and the temperature need the digits.
    logits = layers.Dense(classes, dtype="float32")(x)
    return keras.Model(inputs, logits, name="classic-cnn")


def compact_resnet(
    classes: int,
    widths: Sequence[int] = (48, 128, 320),
    blocks: Sequence[int] = (1, 2, 1),
    dropout: float = 0.3,
    spatial_weights: bool = False,
    se_reduction: int = 0,
    pool: int = 2,
    side: int = CROP_SIZE,
    folded: bool = False,
) -> keras.Model:
    """A small residual network (He et al. 2016) whose cost lies at low resolutions, where processors are fast.

    A 6x6 convolution with stride 2, then stages of residual blocks of two 3x3 convolutions, with max pooling of stride
    2 between the stages, then global average pooling.

    Spatial pooling weights, SE blocks and residual blocks are initialized as identities (after Goyal et al. 2017,
    "Accurate, large minibatch SGD"), so a network without them, or with fewer blocks, can initialize one with them.

    Args:
        classes: Number of outputs.
        widths: Filters of each stage.
        blocks: Residual blocks of each stage.
        dropout: Dropout rate before the last layer, 0 to 1.
        spatial_weights: Give each channel a weight per position in the global pooling, since eyes and mouth have fixed
            positions (Chen et al. 2018, "MobileFaceNets").
        se_reduction: Reduction ratio of the squeeze-and-excitation blocks (after Hu et al. 2018,
            "Squeeze-and-Excitation Networks") from the second stage on; 0: none.
        pool: Width of the max pooling's windows; at 3 they overlap (Krizhevsky et al. 2012, "ImageNet classification
            with deep convolutional neural networks").
        side: Input width and height in pixels; crops are enlarged to it (after Touvron et al. 2019, "Fixing the
            train-test resolution discrepancy"). 54 pixels divide evenly with windows of 3, as 48 do with those of 2.
        folded: Build the network for inference, with batch normalization folded into the convolutions (see `fold`).

    Returns:
        A model from float32 (n, side, side, 1) to logits, float32 (n, classes).
    """
    import keras
    from keras import layers

    inputs = keras.Input((side, side, 1))
    x = layers.ReLU()(_convolution(inputs, "stem", widths[0], folded, size=6, stride=2))
    for stage, (filters, count) in enumerate(zip(widths, blocks, strict=True)):
        if stage > 0:
            x = layers.ReLU()(_convolution(layers.MaxPooling2D(pool, 2)(x), f"stage{stage}", filters, folded))
        for block in range(count):
            name = f"stage{stage}_block{block}"
            y = layers.ReLU()(_convolution(x, f"{name}_first", filters, folded))
            y = _convolution(y, f"{name}_second", filters, folded, scale="zeros")
            excited = [_excitation(y, name, se_reduction)] if se_reduction and stage > 0 else []
            x = layers.ReLU()(layers.Add()([x, y, *excited]))
    if spatial_weights:
        mean = keras.initializers.Constant(1 / (x.shape[1] * x.shape[2]))
        x = layers.EinsumDense("nhwc,hwc->nc", x.shape[-1], kernel_initializer=mean, name="spatial_weights")(x)
    else:
        x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Dense(classes, dtype="float32", name="heads")(x), name="compact-resnet")


def _convolution(
    x: keras.KerasTensor, name: str, filters: int, folded: bool, size: int = 3, stride: int = 1, scale: str = "ones"
) -> keras.KerasTensor:
    """A convolution and, unless it is folded in, its batch normalization, whose factors begin as `scale`."""
    from keras import layers

    from fer_batch.emotion.layers import BatchNormalization

    x = layers.Conv2D(
        filters, size, stride, padding="same", use_bias=folded, kernel_initializer="he_normal", name=name
    )(x)
    if folded:
        return x
    normalization = BatchNormalization(
        momentum=0.95, epsilon=_EPSILON, gamma_initializer=scale, name=f"{name}{_NORMALIZED}"
    )
    return normalization(x)


def _excitation(y: keras.KerasTensor, name: str, reduction: int) -> keras.KerasTensor:
    """The SE block's residual: y times a factor per channel in -1..1, zero at initialization."""
    from keras import layers

    filters = y.shape[-1]
    z = layers.GlobalAveragePooling2D(keepdims=True)(y)
    z = layers.Dense(filters // reduction, activation="relu", name=f"{name}_squeeze")(z)
    z = layers.Dense(filters, activation="tanh", kernel_initializer="zeros", name=f"{name}_excite")(z)
    return layers.Multiply()([y, z])


def fold(trained: keras.Model, folded: keras.Model) -> None:
    """Set the weights of a network built with `folded=True` to those of `trained`, batch normalization folded in.

    A convolution k followed by scale * (x - mean) / deviation + offset equals one with the kernel
    k * scale / deviation and the bias offset - mean * scale / deviation.

    Args:
        trained: The network as it was trained.
        folded: The same architecture built with `folded=True`; its weights are set.
    """
    names = {layer.name for layer in trained.layers}
    for layer in folded.layers:
        weights = trained.get_layer(layer.name).get_weights() if layer.weights else []
        if f"{layer.name}{_NORMALIZED}" in names:
            scale, offset, mean, variance = trained.get_layer(f"{layer.name}{_NORMALIZED}").get_weights()
            factor = scale / np.sqrt(variance + _EPSILON)
            weights = [weights[0] * factor, offset - mean * factor]
        if weights:
            layer.set_weights(weights)


ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {"classic-cnn": classic_cnn, "compact-resnet": compact_resnet}


def network_side(options: dict[str, Any]) -> int:
    """Input width and height, in pixels, of a network with these options."""
    return int(options.get("side", CROP_SIZE))


def all_options(architecture: str, options: dict[str, Any]) -> dict[str, Any]:
    """An architecture's options with its defaults filled in, so that a folder stays valid when a default changes."""
    parameters = signature(ARCHITECTURES[architecture]).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters if parameter.name not in _NOT_OPTIONS}
    return {**defaults, **options}
