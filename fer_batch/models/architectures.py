"""Network architectures by name. Each maps (n, 48, 48, 1) float32 to (n, classes) logits in float32.

Keras is imported where a network is built: the names are needed without it.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any

from fer_batch.models.preprocessing import CROP_SIZE

if TYPE_CHECKING:
    import keras


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


ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {"classic-cnn": classic_cnn}


def all_options(architecture: str, options: dict[str, Any]) -> dict[str, Any]:
    """An architecture's options with its defaults filled in, so that a folder outlives a change of the defaults."""
    parameters = signature(ARCHITECTURES[architecture]).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters if parameter.name != "classes"}
    return {**defaults, **options}
