"""A network in training as one Keras model, so that its teachers, its loss and its averaged weights are part of the one
step that a backend compiles: on a GPU, operations called one by one cost many times what they compute."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from fer_batch.emotion.keras_model import EmotionNetwork
from fer_batch.training.emotion.recipe import Recipe


class Pupil(keras.Model):  # type: ignore[misc] # Keras has no types.
    """A network, the teachers whose answers are a share of its targets, and the average of its weights.

    It is called with several looks at the same faces, float32 (n, side, side, 1) each: the network's, and those of
    teachers who see the faces otherwise. It answers with the network's logits, (n, heads x classes).
    """

    def __init__(self, network: keras.Model, teachers: Sequence[tuple[EmotionNetwork, int]], recipe: Recipe) -> None:
        """`teachers`: each with the number of its look at the faces."""
        super().__init__(name="pupil")
        self.network = network
        self.recipe = recipe
        self._looks = [(teacher.config.heads, look) for teacher, look in teachers]
        self.teachers = [teacher.model for teacher, _ in teachers]
        for teacher in self.teachers:
            teacher.trainable = False
        # The optimizer counts them too, but on JAX the network can't see its variables.
        self.steps = keras.Variable(0.0, trainable=False, dtype="float32")
        # Copies: JAX gives a step's memory away to the next one.
        self.average = [keras.Variable(weight, trainable=False, dtype="float32") for weight in network.get_weights()]

    def call(self, inputs: Sequence[Any], training: bool = False) -> Any:
        """The network's logits; in training the average moves along."""
        if training:
            self._move_average()
        return self.network(inputs[0], training=training)

    def _move_average(self) -> None:
        self.steps.assign_add(1.0)
        decay = ops.minimum(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
        for average, weight in zip(self.average, self.network.weights, strict=True):
            average.assign(decay * average + (1 - decay) * ops.stop_gradient(weight))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The mean over a batch of `heads_loss`, with the teachers' share of the targets."""
        return ops.mean(heads_loss(self.taught(x, y), y_pred, len(self.recipe.heads)))

    def taught(self, inputs: Sequence[Any], targets: Any) -> Any:
        """The targets with a teacher's share of them.

        The loss is linear in its targets, so that teachers who answer in turn teach the mean of their answers, at the
        cost of one.
        """
        if not self.teachers:
            return targets
        answers = [partial(self._answer, number, inputs) for number in range(len(self.teachers))]
        turn = ops.cast(self.steps % len(answers), "int32")
        said = ops.switch(turn, answers) if len(answers) > 1 else answers[0]()
        share = self.recipe.distill
        return (1 - share) * targets + share * ops.stop_gradient(said)

    def _answer(self, number: int, inputs: Sequence[Any]) -> Any:
        """A teacher's probabilities, the recipe's heads side by side.

        Without the mirror image, which would cost as much again; faces come mirrored half of the time anyway.
        """
        heads, look = self._looks[number]
        logits = ops.split(self.teachers[number](inputs[look], training=False), len(heads), axis=1)
        by_head = {head: ops.softmax(part / heads[head]) for head, part in zip(heads, logits, strict=True)}
        return ops.concatenate([by_head[head] for head in self.recipe.heads], axis=1)


def heads_loss(targets: Any, logits: Any, heads: int) -> Any:
    """Cross-entropy with soft targets, added up over the heads, (n, heads x classes) to (n,).

    A row of targets that sums to less counts for less.
    """
    shape = (-1, heads, logits.shape[-1] // heads)
    likelihoods = ops.log_softmax(ops.reshape(logits, shape), axis=-1)
    return -ops.sum(ops.reshape(targets, shape) * likelihoods, axis=(1, 2))
