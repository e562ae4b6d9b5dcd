"""Our batch normalization against Keras's own: the same outputs, moving statistics and gradients."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("training", [True, False])
def test_it_computes_what_keras_does(training: bool) -> None:
    import keras
    import tensorflow as tf

    from fer_batch.emotion.layers import BatchNormalization

    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(3, 2, (64, 6, 6, 5)).astype(np.float32))
    weights = [rng.uniform(0.5, 2, 5) for _ in range(4)]
    seen = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-3)
        layer.build(inputs.shape)
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [inputs, *(variable.value for variable in layer.trainable_variables)])
        seen.append([outputs, *layer.get_weights(), *gradients])
    for ours, theirs in zip(*seen, strict=True):
        # The variance kept is that of the sample (n - 1) with us, that of the batch (n) with Keras.
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-3, atol=2e-3)


def test_it_trains_in_half_precision_and_keeps_float32_statistics() -> None:
    import keras

    from fer_batch.emotion.layers import BatchNormalization

    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = BatchNormalization()
    outputs = layer(np.random.default_rng(0).normal(0, 1, (8, 4, 4, 3)), training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert {str(weight.dtype) for weight in layer.get_weights()} == {"float32"}
    assert (layer.get_weights()[2] != 0).all()
