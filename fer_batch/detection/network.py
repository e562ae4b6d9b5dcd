"""The face detector's network: fully convolutional, anchor-free, one gray channel in, a map per stride out."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

#: Pixels of the picture per cell of each output map, finest first.
STRIDES = (8, 16, 32)

#: Channels of an output map: score (logit), box (4), five landmarks (10), in the units of cv2.FaceDetectorYN.
SCORE, BOX, LANDMARKS = slice(0, 1), slice(1, 5), slice(5, 15)
CHANNELS = 15

#: Logarithm of a box's largest side, in cells: far beyond any picture; what is larger only overflows.
_LARGEST = 10.0

#: What the score's logit starts at, so that the many cells without a face do not drown the few with one.
_SCORE_BIAS = -4.6


@lru_cache(maxsize=8)
def cells(height: int, width: int) -> NDArray[np.float32]:
    """Column, row and stride of every cell of a picture's maps, in the order of the outputs; float32 (cells, 3)."""
    parts = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        parts.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def in_pixels(
    grid: NDArray[np.float32], box: NDArray[np.float32], landmarks: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes (n, 4), x, y, width, height, and landmarks (n, 5, 2) in pixels of the picture, from what the network says
    of them in the cells `grid` (n, 3): `box` (n, 4) and `landmarks` (n, 10), in the units of cv2.FaceDetectorYN."""
    at, stride = grid[:, :2], grid[:, 2:]
    size = np.exp(np.minimum(box[:, 2:], _LARGEST)) * stride
    corner = (at + box[:, :2]) * stride - size / 2
    points = (landmarks.reshape(-1, 5, 2) + at[:, None]) * stride[:, None]
    return np.hstack([corner, size]), points


def face_network(
    widths: tuple[int, ...] = (16, 24, 48, 64, 64), depths: tuple[int, ...] = (1, 2, 2, 1), neck: int = 48
) -> keras.Model:
    """(n, height, width, 1) gray levels 0..255, sides multiples of 32, to three maps, one for each of `STRIDES`:
    (n, height / stride, width / stride, 15).

    `widths`: channels at strides 2, 4, 8, 16, 32; `depths`: further convolutions at strides 4, 8, 16, 32; `neck`:
    channels of the top-down path (Lin et al. 2017, "Feature Pyramid Networks"). All convolutions are plain 3x3 ones:
    on a processor they cost far less per operation than depthwise ones (docs/models/detector.md).
    """
    import keras
    from keras import layers

    def convolved(x: keras.KerasTensor, filters: int, stride: int = 1) -> keras.KerasTensor:
        if stride == 2:  # Padded alike on both sides, as ONNX and OpenCV do it; Keras's "same" is not.
            x = layers.ZeroPadding2D(1)(x)
        padding = "valid" if stride == 2 else "same"
        initializer = "he_normal"
        x = layers.Conv2D(filters, 3, stride, padding, use_bias=False, kernel_initializer=initializer)(x)
        return layers.ReLU()(_batch_normalization()(x))

    def head(x: keras.KerasTensor) -> keras.KerasTensor:
        x = convolved(x, neck)
        start = keras.initializers.Constant([_SCORE_BIAS] + [0.0] * (CHANNELS - 1))
        return layers.Conv2D(CHANNELS, 1, bias_initializer=start, dtype="float32")(x)

    inputs = keras.Input((None, None, 1))
    x = convolved(layers.Rescaling(1 / 128)(inputs), widths[0], stride=2)
    x = convolved(x, widths[1], stride=2)
    for _ in range(depths[0]):
        x = convolved(x, widths[1])
    levels = []
    for width, depth in zip(widths[2:], depths[1:], strict=True):
        x = layers.MaxPooling2D()(x)
        for _ in range(depth + 1):
            x = convolved(x, width)
        levels.append(x)
    x = convolved(levels.pop(), neck)
    merged = [x]
    while levels:
        lateral = layers.Conv2D(neck, 1)(levels.pop())
        x = convolved(layers.Add()([lateral, layers.UpSampling2D()(x)]), neck)
        merged.insert(0, x)
    return keras.Model(inputs, [head(x) for x in merged], name="face-network")


def _batch_normalization() -> keras.layers.Layer:
    """Keras's layer; with TensorFlow, trained by the fused kernel, which is faster than Keras's composed one."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return keras.layers.BatchNormalization(momentum=0.97)
    import tensorflow as tf

    class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, x: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
            if not training:
                return super().call(x, training=training, mask=mask)
            scale, offset = (tf.cast(tf.convert_to_tensor(v), tf.float32) for v in (self.gamma, self.beta))
            y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=self.epsilon, is_training=True
            )
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1 - self.momentum))
            return y

    return FusedBatchNormalization(momentum=0.97)
