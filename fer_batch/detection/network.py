"""The face detector's network: fully convolutional, anchor-free, a YUV picture in, an output map per stride out."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

#: Pixels of the picture per cell of each output map, finest first.
STRIDES = (8, 16, 32, 64)

#: Channels of an output map: score (logit), box (4), five landmarks (10), in the units of cv2.FaceDetectorYN.
SCORE, BOX, LANDMARKS = slice(0, 1), slice(1, 5), slice(5, 15)
CHANNELS = 15

#: Length of a standardized filter with a gain of 1: a layer behind a ReLU then keeps the variance of its input.
AFTER_RELU = float(np.sqrt(2 / (1 - 1 / np.pi)))

#: Logarithm of a box's largest side, in cells: far beyond any picture; larger values only overflow.
_LARGEST = 10.0

#: What the outputs start at: a low score, so that the many cells without a face do not drown the few with one, and
#: boxes three cells wide, so that faces first choose the map for their size.
_START = [-4.6, 0.0, 0.0, 1.1, 1.1] + [0.0] * 10
#: Standard deviation of the kernels of the last layers as they start.
_OUTPUT_DEVIATION = 0.01


@lru_cache(maxsize=8)
def cells(height: int, width: int, strides: tuple[int, ...] = STRIDES) -> NDArray[np.float32]:
    """Column, row and stride of every cell of a picture's maps, in the order of the outputs; float32 (cells, 3)."""
    parts = []
    for stride in strides:
        rows, columns = np.mgrid[: -(-height // stride), : -(-width // stride)]
        parts.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def in_pixels(
    grid: NDArray[np.float32], box: NDArray[np.float32], landmarks: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Decode boxes and landmarks.

    Args:
        grid: The cells, as `cells` gives them; float32 (n, 3).
        box: The network's boxes, in the units of cv2.FaceDetectorYN; float32 (n, 4).
        landmarks: The network's landmarks, in the same units; float32 (n, 10).

    Returns:
        Boxes x, y, width, height (n, 4) and landmarks (n, 5, 2), in pixels of the picture.
    """
    at, stride = grid[:, :2], grid[:, 2:]
    size = np.exp(np.minimum(box[:, 2:], _LARGEST)) * stride
    corner = (at + box[:, :2]) * stride - size / 2
    points = (landmarks.reshape(-1, 5, 2) + at[:, None]) * stride[:, None]
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
    al. 2016), a top-down path (Lin et al. 2017, "Feature Pyramid Networks") and a head for each stride. Without batch
    normalization, which would take half of the time of a training step; convolutions are standardized instead.

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

    number = count(1)
    standardized_convolution = _standardized_convolution() if standardized else None

    def convolved(x: keras.KerasTensor, filters: int, stride: int = 1, relu: bool = True) -> keras.KerasTensor:
        options = {"strides": stride, "activation": "relu" if relu else None, "name": f"convolution_{next(number)}"}
        if standardized_convolution is not None:
            return standardized_convolution(filters, gain=1.0 if relu else 0.0, **options)(x)
        if stride == 2:  # Padded alike on both sides, as ONNX and PyTorch do it; Keras's "same" is not.
            x = layers.ZeroPadding2D(1)(x)
        return layers.Conv2D(filters, 3, padding="valid" if stride == 2 else "same", **options)(x)

    def residual(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        return layers.ReLU()(layers.Add()([x, convolved(convolved(x, filters), filters, relu=False)]))

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
            x = residual(x, width)
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
    import keras

    plain = face_network(**options, standardized=False)
    for layer in plain.layers:
        if layer.weights:
            source = network.get_layer(layer.name)
            kernel = source.scaled_kernel() if hasattr(source, "gain") else source.kernel
            layer.set_weights([keras.ops.convert_to_numpy(kernel), keras.ops.convert_to_numpy(source.bias)])
    return plain


def _standardized_convolution() -> Any:
    """A layer: 3x3 convolution whose kernels have mean 0 and a length set by a learnt gain (Brock et al. 2021,
    "Characterizing signal propagation to close the performance gap in unnormalized ResNets")."""
    import keras
    from keras import ops

    with_torch = keras.backend.backend() == "torch"

    class StandardizedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
        def __init__(self, filters: int, gain: float, **options: Any) -> None:
            super().__init__(filters, 3, padding="same", **options)
            self.first_gain = gain

        def build(self, shape: Any) -> None:
            super().build(shape)
            initializer = keras.initializers.Constant(self.first_gain)
            self.gain = self.add_weight((self.filters,), initializer=initializer, name="gain")

        def scaled_kernel(self) -> Any:
            kernel = ops.convert_to_tensor(self.kernel, dtype="float32")
            kernel = kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
            length = ops.sqrt(ops.sum(ops.square(kernel), axis=(0, 1, 2), keepdims=True) + 1e-6)
            return kernel * (AFTER_RELU * ops.convert_to_tensor(self.gain, dtype="float32") / length)

        def call(self, x: Any) -> Any:
            kernel, bias = ops.cast(self.scaled_kernel(), x.dtype), ops.cast(self.bias, x.dtype)
            if with_torch:  # One fused call, where Keras makes four and copies: a step takes two thirds of the time.
                from torch.nn import functional

                kernel, channels_first = kernel.permute(3, 2, 0, 1), x.permute(0, 3, 1, 2)
                y = functional.conv2d(channels_first, kernel, bias, self.strides, 1).permute(0, 2, 3, 1)
                return functional.relu(y, inplace=True) if self.activation is keras.activations.relu else y
            x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
            return self.activation(ops.conv(x, kernel, self.strides, "valid") + bias)

        def compute_output_spec(self, x: Any) -> Any:
            sides = [None if side is None else -(-side // self.strides[0]) for side in x.shape[1:3]]
            return keras.KerasTensor((x.shape[0], *sides, self.filters), dtype=self.compute_dtype)

    return StandardizedConv2D
