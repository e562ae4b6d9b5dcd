"""The face detector's network: fully convolutional, anchor-free, a YUV picture in, an output map per stride out."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.layers import Convolutions, copy_weights

if TYPE_CHECKING:
    import keras

#: Pixels of the picture per cell of each output map, finest first.
STRIDES = (8, 16, 32, 64)

#: Channels of an output map: score (logit), box (4), five landmarks (10), in the units of cv2.FaceDetectorYN.
SCORE, BOX, LANDMARKS = slice(0, 1), slice(1, 5), slice(5, 15)
CHANNELS = 15

#: Logarithm of a box's largest side, in cells: far beyond any picture; larger values only overflow.
_LARGEST = 10.0

#: What the outputs start at: a low score, so that the many cells without a face do not drown the few with one, and
#: boxes three cells wide, so that faces first choose the map for their size.
_START = [-4.6, 0.0, 0.0, 1.1, 1.1] + [0.0] * 10
#: Standard deviation of the kernels of the last layers as they start.
_OUTPUT_DEVIATION = 0.01


@lru_cache(maxsize=8)
def cells(height: int, width: int) -> NDArray[np.float32]:
    """Column, row and stride of every cell of a picture's maps, in the order of the outputs; float32 (cells, 3)."""
    parts = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: -(-height // stride), : -(-width // stride)]
        parts.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def in_pixels(
    grid: NDArray[np.float32], outputs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Decode boxes and landmarks.

    Args:
        grid: The cells, as `cells` gives them; float32 (n, 3).
        outputs: What the network says there; float32 (n, CHANNELS).

    Returns:
        Boxes x, y, width, height (n, 4) and landmarks (n, 5, 2), in pixels of the picture.
    """
    at, stride, box = grid[:, :2], grid[:, 2:], outputs[:, BOX]
    size = np.exp(np.minimum(box[:, 2:], _LARGEST)) * stride
    corner = (at + box[:, :2]) * stride - size / 2
    points = (outputs[:, LANDMARKS].reshape(-1, 5, 2) + at[:, None]) * stride[:, None]
    return np.hstack([corner, size]), points


def face_network(
    stem: tuple[int, int] = (16, 32),
    widths: tuple[int, ...] = (64, 128, 128),
    blocks: tuple[int, ...] = (1, 2, 1),
    neck: int = 64,
    standardized: bool = True,
) -> keras.Model:
    """Build the network, untrained.

    Plain 3x3 convolutions, which cost a processor far less per operation than depthwise ones, in residual blocks (He et
    al. 2016), a top-down path (Lin et al. 2017, "Feature Pyramid Networks") and a head for each stride.

    Args:
        stem: Channels at strides 2 and 4.
        widths: Channels at strides 8, 16 and 32.
        blocks: Residual blocks at strides 8, 16 and 32.
        neck: Channels of the top-down path and of the heads.
        standardized: Whether convolutions are standardized, as for training; see `plain_network`.

    Returns:
        A model from (n, height, width, 3), Y, U and V as 0..255, sides multiples of 64, to a map for each of `STRIDES`:
        (n, height / stride, width / stride, 15).
    """
    import keras
    from keras import layers

    convolved = Convolutions(standardized)

    def head(x: keras.KerasTensor, stride: int) -> keras.KerasTensor:
        kernel = keras.initializers.RandomNormal(stddev=_OUTPUT_DEVIATION)
        bias = keras.initializers.Constant(_START)
        options = {"kernel_initializer": kernel, "bias_initializer": bias, "dtype": "float32"}
        return layers.Conv2D(CHANNELS, 1, name=f"output_{stride}", **options)(convolved(x, neck))

    inputs = keras.Input((None, None, 3))
    x = convolved(layers.Rescaling(1 / 128)(inputs), stem[0], stride=2)
    x = convolved(convolved(x, stem[1], stride=2), stem[1])
    levels = []
    for width, depth in zip(widths, blocks, strict=True):
        x = convolved(x, width, stride=2)
        for _ in range(depth):
            x = convolved.residual(x, width)
        levels.append(x)
    maps = [convolved(x, neck, stride=2)]  # Stride 64: faces that fill the picture.
    for stride, level in zip(STRIDES[-2::-1], reversed(levels), strict=True):
        lateral = layers.Conv2D(neck, 1, name=f"lateral_{stride}")(level)
        merged = lateral if level is levels[-1] else layers.Add()([lateral, layers.UpSampling2D()(maps[0])])
        maps.insert(0, convolved(merged, neck))
    return keras.Model(inputs, [head(x, stride) for x, stride in zip(maps, STRIDES, strict=True)], name="face-network")


def plain_network(network: keras.Model, **options: Any) -> keras.Model:
    """The same network with plain convolutions, for export.

    Args:
        network: A network that `face_network(**options)` built.
        options: The arguments it was built with.

    Returns:
        A network of Keras's own layers alone, in float32, with the same answers.
    """
    return copy_weights(network, face_network(**options, standardized=False))
