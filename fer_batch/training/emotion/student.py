"""A network in training as one Keras model.

Teachers, loss and averaged weights are part of the one step that a backend compiles: on a GPU, operations called one by
one cost many times what they compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from fer_batch.emotion.keras_model import KerasModel
from fer_batch.training.common.ema import WeightAverage
from fer_batch.training.emotion.recipe import Recipe


class Student(keras.Model):  # type: ignore[misc] # Keras has no types.
    """A network, the teachers it is distilled from, and the moving average of its weights.

    Its inputs are several versions of the same faces, float32 (n, side, side, 1) each: first the network's own, then
    those of teachers with another preprocessing or input size. Its output is the network's logits, (n, heads x
    classes).

    Attributes:
        network: The network that is trained.
        steps: Training steps so far.
        average: The moving average of the network's weights.
    """

    def __init__(self, network: keras.Model, teachers: Sequence[tuple[KerasModel, int]], recipe: Recipe) -> None:
        """`teachers`: each with the index of its input."""
        super().__init__(name="student")
        self.network = network
        self.recipe = recipe
        self._teacher_heads = [(teacher.config.heads, index) for teacher, index in teachers]
        self.teachers = [teacher.model for teacher, _ in teachers]
        for teacher in self.teachers:
            teacher.trainable = False
        # The optimizer counts them too, but on JAX the network can't read its variables.
        self.steps = keras.Variable(0.0, trainable=False, dtype="float32")
        self._average = WeightAverage(network.get_weights(), recipe.ema)
        self.average = self._average.variables  # As an attribute, so that Keras tracks them.

    def call(self, inputs: Sequence[Any], training: bool = False) -> Any:
        """The network's logits; in training the moving average is updated."""
        if training:
            self.steps.assign_add(1.0)
            self._average.update(self.network.weights, self.steps)
        return self.network(inputs[0], training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The mean over a batch of `heads_loss`, against the distilled targets."""
        return ops.mean(heads_loss(self.distilled_targets(x, y), y_pred, len(self.recipe.heads)))

    def distilled_targets(self, inputs: Sequence[Any], targets: Any) -> Any:
        """The targets mixed with a teacher's predictions.

        The loss is linear in its targets, so teachers that take turns by step amount to the mean of their predictions,
        at the cost of one.
        """
        if not self.teachers:
            return targets
        predictions = [partial(self._teacher_prediction, number, inputs) for number in range(len(self.teachers))]
        turn = ops.cast(self.steps % len(predictions), "int32")
        predicted = ops.switch(turn, predictions) if len(predictions) > 1 else predictions[0]()
        weight = self.recipe.distillation_weight
        return (1 - weight) * targets + weight * ops.stop_gradient(predicted)

    def _teacher_prediction(self, number: int, inputs: Sequence[Any]) -> Any:
        """A teacher's probabilities, the recipe's heads side by side.

        Without flip averaging, which would cost as much again; half of the faces are flipped anyway.
        """
        heads, index = self._teacher_heads[number]
        logits = ops.split(self.teachers[number](inputs[index], training=False), len(heads), axis=1)
        by_head = {head: ops.softmax(part / heads[head]) for head, part in zip(heads, logits, strict=True)}
        return ops.concatenate([by_head[head] for head in self.recipe.heads], axis=1)


def heads_loss(targets: Any, logits: Any, heads: int) -> Any:
    """Cross-entropy with soft targets, summed over the heads.

    Args:
        targets: (n, heads x classes); a row that sums to less than 1 has less weight.
        logits: (n, heads x classes).
        heads: Number of heads.

    Returns:
        (n,), in nats.
    """
    shape = (-1, heads, logits.shape[-1] // heads)
    likelihoods = ops.log_softmax(ops.reshape(logits, shape), axis=-1)
    return -ops.sum(ops.reshape(targets, shape) * likelihoods, axis=(1, 2))
