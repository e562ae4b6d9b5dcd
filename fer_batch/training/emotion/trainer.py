"""A network in training: what it begins as, an epoch of it, and its state on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer_batch.emotion.architectures import ARCHITECTURES, network_side
from fer_batch.emotion.keras_model import EmotionNetwork, load_weights, network_logits
from fer_batch.emotion.model_folder import find_model, read_config
from fer_batch.emotion.preprocessing import preprocessing
from fer_batch.errors import DatasetError
from fer_batch.training.common.checkpoints import load_checkpoint, save_checkpoint
from fer_batch.training.common.schedule import compiled_whole, cosine_schedule, precision
from fer_batch.training.emotion.batches import batches
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.recipe import Recipe
from fer_batch.training.emotion.student import Pupil


class Trainer:
    """A network in training, and its state on disk as plain arrays for any backend."""

    def __init__(self, model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
        self.model, self.recipe = model, recipe
        schedule = cosine_schedule(recipe.learning_rate, recipe.epochs, recipe.warmup_epochs, steps_per_epoch)
        if recipe.optimizer == "sgd":
            self.optimizer = keras.optimizers.SGD(
                schedule, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
            )
        else:
            self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        teachers = [_teacher(folder, recipe) for folder in recipe.teachers]
        looks = [(teacher.config.preprocessing, network_side(teacher.config.options)) for teacher in teachers]
        # Each look at the faces is computed once. First is the network's own; with `sides` (0) no teacher shares it.
        own = (recipe.preprocessing, 0 if recipe.sides else network_side(recipe.options))
        self._looks = list(dict.fromkeys([own, *looks]))
        numbers = [self._looks.index(look) for look in looks]
        self.pupil = Pupil(model, list(zip(teachers, numbers, strict=True)), recipe)
        self.pupil.compile(self.optimizer, jit_compile=compiled_whole())
        self.optimizer.build(self.pupil.trainable_variables)
        self.history: list[dict[str, float]] = []

    @property
    def epoch(self) -> int:
        """Epochs done so far."""
        return len(self.history)

    def run_epoch(self, faces: Faces) -> float:
        """Train one epoch, moving the averaged weights along; returns the mean loss."""
        seen = (self.seen(crops, targets) for crops, targets in batches(faces, self.recipe, self.epoch))
        steps = len(faces) // self.recipe.batch_size
        logs = self.pupil.fit(seen, steps_per_epoch=steps, shuffle=False, verbose=0).history
        return float(logs["loss"][0])

    def seen(self, crops: NDArray[np.uint8], targets: NDArray[np.float32]) -> tuple[Any, NDArray[np.float32]]:
        """A batch as the pupil takes it: the faces as the network and its teachers see them, and the targets."""
        own = (self.recipe.preprocessing, self.recipe.side(self.epoch))
        return tuple(preprocessing(*look)(crops) for look in (own, *self._looks[1:])), targets

    def swap_in_average(self) -> None:
        """Exchange the model's weights with their average; a second call puts them back."""
        current = self.model.get_weights()
        self.model.set_weights([keras.ops.convert_to_numpy(average) for average in self.pupil.average])
        for average, weight in zip(self.pupil.average, current, strict=True):
            average.assign(weight)

    def averaged_logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of the averaged weights; (n, 48, 48) to (n, classes)."""
        self.swap_in_average()
        preprocess = preprocessing(self.recipe.preprocessing, network_side(self.recipe.options))
        logits = network_logits(self.model, preprocess, crops, self.recipe.batch_size, self.recipe.mirror)
        self.swap_in_average()
        return logits

    def _state(self) -> dict[str, Any]:
        # Among the variables that are not trained are the states of dropout's random numbers, which weights leave out.
        model = [*self.model.trainable_variables, *self.model.non_trainable_variables]
        everything = [*model, *self.optimizer.variables, *self.pupil.average, self.pupil.steps]
        return {f"v{i}": variable for i, variable in enumerate(everything)}

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        save_checkpoint(path, self._state(), self.recipe, self.history)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one. Raises DatasetError if it belongs to another recipe."""
        self.history = load_checkpoint(path, self._state(), self.recipe)


def build_network(recipe: Recipe) -> keras.Model:
    """The network before its first epoch."""
    build = ARCHITECTURES[recipe.architecture]
    options = {**recipe.options, "side": None} if recipe.sides else recipe.options
    try:
        with precision(recipe.precision):
            model = build(recipe.outputs, **options)
    except (TypeError, ValueError) as error:
        of_sides = " with faces of several `sides`" if recipe.sides else ""
        raise DatasetError(f"recipe: {recipe.architecture} can't be built{of_sides} ({error})") from error
    if recipe.start:
        _start_from(find_model(recipe.start), model)
    return model


def _start_from(folder: Path, model: keras.Model) -> None:
    """Set a network's weights to those of a model folder; layers that the folder's network lacks stay as they begin.

    Raises DatasetError where the folder does not fit.
    """
    config = read_config(folder)
    begun = ARCHITECTURES[config.architecture](config.outputs, **config.options)
    load_weights(begun, folder)
    given, taking = ([layer for layer in one.layers if layer.trainable_variables] for one in (begun, model))
    try:
        if len(given) != len(taking):
            taking = [model.get_layer(layer.name) for layer in given]
        for layer, taker in zip(given, taking, strict=True):
            taker.set_weights(layer.get_weights())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise DatasetError(f"recipe: start {folder}: the weights do not fit the network ({reason})") from error


def _teacher(folder: str, recipe: Recipe) -> EmotionNetwork:
    with precision(recipe.precision):
        teacher = EmotionNetwork(find_model(folder))
    if teacher.config.labels != recipe.labels or not set(recipe.heads) <= set(teacher.config.heads):
        raise DatasetError(f"recipe: teacher {folder} has other labels or heads than {', '.join(recipe.heads)}")
    return teacher
