"""Convolutions of the detector's networks: standardized for training, plain for export."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

#: Length of a standardized filter with a gain of 1: a layer behind a ReLU then keeps the variance of its input.
AFTER_RELU = float(np.sqrt(2 / (1 - 1 / np.pi)))


class Convolutions:
    """Makes the 3x3 convolutions of a network, numbered in the order of the calls.

    Without batch normalization, which would take half of the time of a training step; kernels are standardized instead
    (Brock et al. 2021, "Characterizing signal propagation to close the performance gap in unnormalized ResNets").
    """

    def __init__(self, standardized: bool) -> None:
        """`standardized`: as for training; otherwise Keras's own layers alone, as for export."""
        self._layer = _standardized_convolution() if standardized else None
        self._number = count(1)

    def __call__(self, x: keras.KerasTensor, filters: int, stride: int = 1, relu: bool = True) -> keras.KerasTensor:
        """A convolution with `filters` kernels, followed by a ReLU where `relu`."""
        from keras import layers

        options = {
            "strides": stride,
            "activation": "relu" if relu else None,
            "name": f"convolution_{next(self._number)}",
        }
        if self._layer is not None:
            return self._layer(filters, gain=1.0 if relu else 0.0, **options)(x)
        if stride == 2:  # Padded alike on both sides, as ONNX and PyTorch do it; Keras's "same" is not.
            x = layers.ZeroPadding2D(1)(x)
        return layers.Conv2D(filters, 3, padding="valid" if stride == 2 else "same", **options)(x)

    def residual(self, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        """A residual block of two convolutions (He et al. 2016), which begins as if it were not there."""
        from keras import layers

        return layers.ReLU()(layers.Add()([x, self(self(x, filters), filters, relu=False)]))


def copy_weights(network: keras.Model, plain: keras.Model) -> keras.Model:
    """Give a network of plain convolutions the weights of the same network with standardized ones; returns it."""
    import keras

    for layer in plain.layers:
        if layer.weights:
            source = network.get_layer(layer.name)
            kernel = source.scaled_kernel() if hasattr(source, "gain") else source.kernel
            layer.set_weights([keras.ops.convert_to_numpy(kernel), keras.ops.convert_to_numpy(source.bias)])
    return plain


def _standardized_convolution() -> Any:
    """A layer: 3x3 convolution whose kernels have mean 0 and a length set by a learnt gain."""
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
