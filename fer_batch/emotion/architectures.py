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
#: The batch normalization behind a convolution has its name with this behind.
_NORMALIZED = "_normalized"


def classic_cnn(classes: int, dense: int = 256, dropout: float = 0.4, batch_norm: bool = True) -> keras.Model:
    """The original project's network: three blocks of three 3x3 convolutions (32, 64, 128 filters), each ended by 2x2
    max pooling, then two dense layers with dropout.

    `batch_norm` adds batch normalization where it costs next to nothing, behind each pooling and in the dense layers.
    The original has none, and learns far more slowly: 61.4 % of PublicTest after 29 epochs.
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
    places: bool = False,
    gates: int = 0,
    pool: int = 2,
    side: int | None = CROP_SIZE,
    folded: bool = False,
) -> keras.Model:
    """A small residual network (He et al. 2016) whose cost lies at low resolutions, where processors are fast.

    A 6x6 convolution with stride 2, then stages of `blocks[i]` residual blocks of two 3x3 convolutions at `widths[i]`
    filters, with max pooling of stride 2 between the stages, then the mean over what is left of the picture. `folded`
    builds it for inference: batch normalization has become part of the convolutions (see `fold`).

    `places`: each channel has a weight for every place in that mean, for eyes and mouth are not everywhere (Chen et al.
    2018, "MobileFaceNets"). `gates`: from the second stage on a block's channels are scaled by what the whole picture
    shows, through a layer that many times narrower (after Hu et al. 2018, "Squeeze-and-Excitation Networks"); 0: none.
    Both begin as if they were not there, as does each block (after Goyal et al. 2017, "Accurate, large minibatch SGD"):
    a network without them, or with fewer blocks, can be the start of one with them.

    `pool`: the width of the max pooling's windows; at 3 they overlap (Krizhevsky et al. 2012, "ImageNet classification
    with deep convolutional neural networks"). `side`: of the faces, in pixels; above 48 they are enlarged first, and
    each layer looks at them more closely (after Touvron et al. 2019, "Fixing the train-test resolution discrepancy").
    54 pixels come out even with windows of 3, as 48 do with those of 2. None: of any size, which `places` can't have
    (ValueError).
    """
    import keras
    from keras import layers

    from fer_batch.emotion.layers import BatchNormalization

    def convolution(
        x: keras.KerasTensor, name: str, filters: int, size: int = 3, stride: int = 1, scale: str = "ones"
    ) -> keras.KerasTensor:
        x = layers.Conv2D(
            filters, size, stride, padding="same", use_bias=folded, kernel_initializer="he_normal", name=name
        )(x)
        if folded:
            return x
        normalization = BatchNormalization(
            momentum=0.95, epsilon=_EPSILON, gamma_initializer=scale, name=f"{name}{_NORMALIZED}"
        )
        return normalization(x)

    def gate(y: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """What is added to y: y times a factor between -1 and 1 for each channel."""
        filters = y.shape[-1]
        z = layers.GlobalAveragePooling2D(keepdims=True)(y)
        z = layers.Dense(filters // gates, activation="relu", name=f"{name}_gate_in")(z)
        z = layers.Dense(filters, activation="tanh", kernel_initializer="zeros", name=f"{name}_gate_out")(z)
        return layers.Multiply()([y, z])

    if places and side is None:
        raise ValueError("weights for each place need faces of one size")
    inputs = keras.Input((side, side, 1))
    x = layers.ReLU()(convolution(inputs, "stem", widths[0], size=6, stride=2))
    for stage, (filters, count) in enumerate(zip(widths, blocks, strict=True)):
        if stage > 0:
            x = layers.ReLU()(convolution(layers.MaxPooling2D(pool, 2)(x), f"stage{stage}", filters))
        for block in range(count):
            name = f"stage{stage}_block{block}"
            y = layers.ReLU()(convolution(x, f"{name}_first", filters))
            y = convolution(y, f"{name}_second", filters, scale="zeros")
            gated = [gate(y, name)] if gates and stage > 0 else []
            x = layers.ReLU()(layers.Add()([x, y, *gated]))
    if places:
        mean = keras.initializers.Constant(1 / (x.shape[1] * x.shape[2]))
        x = layers.EinsumDense("nhwc,hwc->nc", x.shape[-1], kernel_initializer=mean, name="places")(x)
    else:
        x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Dense(classes, dtype="float32", name="heads")(x), name="compact-resnet")


def fold(trained: keras.Model, folded: keras.Model) -> None:
    """Set the weights of a network built with `folded=True` so that it computes what `trained` does in inference.

    A convolution k followed by scale * (x - mean) / deviation + offset is one with the kernel k * scale / deviation
    and the bias offset - mean * scale / deviation.
    """
    normalized = {layer.name for layer in trained.layers}
    for layer in folded.layers:
        weights = trained.get_layer(layer.name).get_weights() if layer.weights else []
        if f"{layer.name}{_NORMALIZED}" in normalized:
            scale, offset, mean, variance = trained.get_layer(f"{layer.name}{_NORMALIZED}").get_weights()
            factor = scale / np.sqrt(variance + _EPSILON)
            weights = [weights[0] * factor, offset - mean * factor]
        if weights:
            layer.set_weights(weights)


ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {"classic-cnn": classic_cnn, "compact-resnet": compact_resnet}


def network_side(options: dict[str, Any]) -> int:
    """Width and height, in pixels, of the faces that a network of these options sees."""
    return int(options.get("side", CROP_SIZE))


def all_options(architecture: str, options: dict[str, Any]) -> dict[str, Any]:
    """An architecture's options with its defaults filled in, so that a folder outlives a change of the defaults."""
    parameters = signature(ARCHITECTURES[architecture]).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters if parameter.name not in _NOT_OPTIONS}
    return {**defaults, **options}
