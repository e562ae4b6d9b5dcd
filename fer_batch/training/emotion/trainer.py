"""A network in training: how it is initialized, an epoch of it, and its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer_batch.emotion.architectures import ARCHITECTURES, network_side
from fer_batch.emotion.keras_model import KerasModel, load_weights, network_logits
from fer_batch.emotion.model_folder import find_model, read_config
from fer_batch.emotion.preprocessing import preprocessing
from fer_batch.errors import DatasetError
from fer_batch.training.common.checkpoints import History, load_checkpoint, save_checkpoint
from fer_batch.training.common.schedule import compiled_whole, cosine_schedule, precision
from fer_batch.training.emotion.batches import batches
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.recipe import Recipe
from fer_batch.training.emotion.student import Student


class Trainer:
    """A network in training.

    Attributes:
        model: The network.
        student: The network with its teachers and its averaged weights.
        history: The metrics of the epochs so far.
    """

    def __init__(self, model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
        """Load the teachers and compile the training step. Raises DatasetError for a teacher that does not fit."""
        self.model, self.recipe = model, recipe
        self.optimizer = _optimizer(recipe, steps_per_epoch)
        teachers = [_teacher(folder, recipe) for folder in recipe.teachers]
        inputs = [(teacher.config.preprocessing, network_side(teacher.config.options)) for teacher in teachers]
        # The network's own input comes first. Inputs that several networks share are computed once.
        self._inputs = list(dict.fromkeys([(recipe.preprocessing, network_side(recipe.options)), *inputs]))
        indices = [self._inputs.index(teacher_input) for teacher_input in inputs]
        self.student = Student(model, list(zip(teachers, indices, strict=True)), recipe)
        self.student.compile(self.optimizer, jit_compile=compiled_whole())
        self.optimizer.build(self.student.trainable_variables)
        self.history: History = []

    @property
    def epoch(self) -> int:
        """Epochs so far."""
        return len(self.history)

    def run_epoch(self, faces: Faces) -> float:
        """Train one epoch; returns the mean loss over its batches."""
        pairs = ((self.student_inputs(crops), targets) for crops, targets in batches(faces, self.recipe, self.epoch))
        steps = len(faces) // self.recipe.batch_size
        logs = self.student.fit(pairs, steps_per_epoch=steps, shuffle=False, verbose=0).history
        return float(logs["loss"][0])

    def student_inputs(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Crops, uint8 (n, 48, 48), as the network and its teachers take them, float32 (n, side, side, 1) each."""
        return tuple(preprocessing(name, side)(crops) for name, side in self._inputs)

    def swap_in_average(self) -> None:
        """Exchange the network's weights with their average; a second call restores them."""
        current = self.model.get_weights()
        self.model.set_weights([keras.ops.convert_to_numpy(average) for average in self.student.average])
        for average, weight in zip(self.student.average, current, strict=True):
            average.assign(weight)

    def averaged_logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of the averaged weights, uint8 (n, 48, 48) to float32 (n, outputs)."""
        self.swap_in_average()
        preprocess = preprocessing(*self._inputs[0])
        logits = network_logits(self.model, preprocess, crops, self.recipe.batch_size, self.recipe.flip_averaging)
        self.swap_in_average()
        return logits

    def _state(self) -> dict[str, Any]:
        # The variables that are not trained include the state of dropout's random numbers, which weights leave out.
        model = [*self.model.trainable_variables, *self.model.non_trainable_variables]
        variables = [*model, *self.optimizer.variables, *self.student.average, self.student.steps]
        return {f"v{number}": variable for number, variable in enumerate(variables)}

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        save_checkpoint(path, self._state(), self.recipe, self.history)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint, if there is one. Raises DatasetError if it belongs to another recipe."""
        self.history = load_checkpoint(path, self._state(), self.recipe)


def build_network(recipe: Recipe) -> keras.Model:
    """The network before its first epoch. Raises DatasetError where it can't be built or initialized."""
    try:
        with precision(recipe.precision):
            model = ARCHITECTURES[recipe.architecture](recipe.outputs, **recipe.options)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"recipe: {recipe.architecture} can't be built ({error})") from error
    if recipe.start:
        _initialize_from(find_model(recipe.start), model)
    return model


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> Any:
    schedule = cosine_schedule(recipe.learning_rate, recipe.epochs, recipe.warmup_epochs, steps_per_epoch)
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay)
    else:
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _initialize_from(folder: Path, model: keras.Model) -> None:
    """Initialize a network with the weights of a model folder; layers that the folder's network lacks keep theirs.

    Raises DatasetError where the folder does not fit.
    """
    config = read_config(folder)
    source = ARCHITECTURES[config.architecture](config.outputs, **config.options)
    load_weights(source, folder)
    sources, targets = ([layer for layer in network.layers if layer.trainable_variables] for network in (source, model))
    try:
        if len(sources) != len(targets):
            targets = [model.get_layer(layer.name) for layer in sources]
        for layer, target in zip(sources, targets, strict=True):
            target.set_weights(layer.get_weights())
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise DatasetError(f"recipe: start {folder}: the weights do not fit the network ({reason})") from error


def _teacher(folder: str, recipe: Recipe) -> KerasModel:
    with precision(recipe.precision):
        teacher = KerasModel(find_model(folder))
    if teacher.config.labels != recipe.labels or not set(recipe.heads) <= set(teacher.config.heads):
        raise DatasetError(f"recipe: teacher {folder} has other labels or heads than {', '.join(recipe.heads)}")
    return teacher
