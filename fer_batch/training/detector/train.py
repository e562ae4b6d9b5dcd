"""Train a face detector on labelled photographs, resumable at any epoch, on any Keras backend."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from fer_batch.atomic import write_json
from fer_batch.detection import network
from fer_batch.detection.network import face_network
from fer_batch.errors import DatasetError
from fer_batch.training.common.checkpoints import (
    CHECKPOINT_FILE,
    LOG_FILE,
    load_checkpoint,
    save_checkpoint,
    write_log,
)
from fer_batch.training.common.schedule import precision
from fer_batch.training.detector.batches import Batch, batch_stream
from fer_batch.training.detector.loss import detector_loss
from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.recipe import RECIPE_FILE, DetectorRecipe, check_detector_recipe
from fer_batch.training.detector.start import start_from
from fer_batch.training.detector.steps import make_steps, rate_share


def train_detector(photographs: list[Photograph], recipe: DetectorRecipe, out: Path) -> keras.Model:
    """Train on the photographs that are not held out; leave recipe and log in `out`.

    A checkpoint is written every epoch, and the same call goes on from it.

    Args:
        photographs: Labelled photographs.
        recipe: What decides the run.
        out: The folder; made if need be.

    Returns:
        The network with its averaged weights, in float32.

    Raises:
        DatasetError: For data or a checkpoint that does not fit.
    """
    check_detector_recipe(recipe)
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {out}: is a file; choose a folder")
    training = [photograph for photograph in photographs if not photograph.held_out]
    if not training:
        raise DatasetError("all photographs are held out; none is left to train on")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RECIPE_FILE, asdict(recipe))
    keras.utils.set_random_seed(recipe.seed)
    trainer = _Trainer(recipe)
    trainer.load(out / CHECKPOINT_FILE)
    if recipe.start and trainer.epoch == 0:
        trainer.begin(Path(recipe.start))
    with batch_stream(training, recipe, trainer.epoch) as batches:
        for epoch in range(trainer.epoch, recipe.epochs):
            started = time.perf_counter()
            losses = trainer.run_epoch(batches)
            trainer.history.append({"epoch": epoch + 1, **losses, "seconds": time.perf_counter() - started})
            trainer.save(out / CHECKPOINT_FILE)
            write_log(out / LOG_FILE, trainer.history)
            print(" ".join(f"{key} {value:.4g}" for key, value in trainer.history[-1].items()), flush=True)
    return trainer.averaged_network()


def learning_rate(recipe: DetectorRecipe, step: int) -> float:
    """The learning rate of a step: a straight rise, a plateau, and a cosine down to 0 in the last epochs. Until these
    begin it does not depend on how many epochs there are, so that a run can be made longer."""
    start, end = (recipe.epochs - recipe.decay_epochs) * recipe.steps, recipe.epochs * recipe.steps
    return recipe.learning_rate * rate_share(step, recipe.warmup_steps, start, end)


class _Detector(keras.Model):  # type: ignore[misc]
    """The network with its loss, for Keras's own step on any backend."""

    def __init__(self, recipe: DetectorRecipe, bare: keras.Model) -> None:
        super().__init__(name="detector")
        self.recipe, self.bare = recipe, bare

    def call(self, pictures: Any) -> Any:
        views = pictures.shape[0]
        maps = [
            ops.reshape(output, (views, -1, network.CHANNELS)) for output in self.bare(ops.cast(pictures, "float32"))
        ]
        return ops.reshape(ops.concatenate(maps, axis=1), (-1, network.CHANNELS))

    def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
        targets = {name: ops.convert_to_tensor(value) for name, value in y.items()}
        return detector_loss(self.recipe, targets, y_pred)["loss"]


class _Trainer:
    """A network in training with averaged weights, and its state on disk as plain arrays for any backend."""

    def __init__(self, recipe: DetectorRecipe) -> None:
        self.recipe = recipe
        with precision(recipe.precision):
            model = _Detector(recipe, face_network(**recipe.options))
        self.network = model.bare
        self.steps = make_steps(model, model.bare, recipe.weight_decay)
        self.history: list[dict[str, float]] = []

    @property
    def epoch(self) -> int:
        """Epochs done so far."""
        return len(self.history)

    def begin(self, folder: Path) -> None:
        """Take the network of an earlier training; see `start_from`."""
        start_from(folder, self.network)
        for weight, average in zip(self.steps.weights, self.steps.average, strict=True):
            average.assign(ops.convert_to_numpy(weight))

    def run_epoch(self, batches: Iterator[Batch]) -> dict[str, float]:
        """Train one epoch, moving the averaged weights along; returns the mean loss."""
        losses: list[float] = []
        views = 0
        for inputs, wanted in islice(batches, self.recipe.steps):
            step = self.epoch * self.recipe.steps + len(losses)
            decay = min(self.recipe.ema, (1 + step) / (10 + step))
            losses.append(self.steps.step(inputs, wanted, learning_rate(self.recipe, step), decay))
            views += len(inputs)
        return {"loss": float(np.mean(losses)), "views": float(views)}

    def averaged_network(self) -> keras.Model:
        """A network in float32 with the averaged weights."""
        return self.steps.average_into(face_network(**self.recipe.options))

    def _state(self) -> dict[str, Any]:
        named = {f"average{i}": variable for i, variable in enumerate(self.steps.average)}
        named.update({f"weight{i}": variable for i, variable in enumerate(self.steps.weights)})
        return {**named, **self.steps.state()}

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        save_checkpoint(path, self._state(), self.recipe, self.history)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one. Raises DatasetError if it belongs to another recipe."""
        self.history = load_checkpoint(path, self._state(), self.recipe, may_differ=("epochs",))
