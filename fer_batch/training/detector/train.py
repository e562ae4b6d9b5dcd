"""Train a face detector by a teacher and labels, resumable at any epoch, on any Keras backend."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fer_batch.atomic import write_json
from fer_batch.detection import network
from fer_batch.detection.network import face_network
from fer_batch.errors import DatasetError
from fer_batch.model_folder import WEIGHTS_FILE
from fer_batch.training.common.checkpoints import load_checkpoint, save_checkpoint, write_log
from fer_batch.training.common.prefetch import prefetched
from fer_batch.training.common.schedule import compiled_whole, cosine_schedule, precision
from fer_batch.training.detector import targets as target
from fer_batch.training.detector.photographs import Photograph, split
from fer_batch.training.detector.recipe import RECIPE_FILE, DetectorRecipe, check_detector_recipe
from fer_batch.training.detector.start import start_from
from fer_batch.training.detector.targets import Teacher, make_targets
from fer_batch.training.detector.views import degrade, draw_view

CHECKPOINT_FILE = "checkpoint.npz"
LOG_FILE = "training_log.csv"
_LOADERS = 2
#: Batches that show what an earlier network's channels hold.
_SHOWN = 20


def train_detector(photographs: list[Photograph], teacher: Path, recipe: DetectorRecipe, out: Path) -> keras.Model:
    """Train on the photographs whose source is not held out; leave weights, recipe and log in `out`.

    A checkpoint is written every epoch, and the same call goes on from it. Returns the network with its averaged
    weights. Raises DatasetError for data, a teacher or a checkpoint that does not fit.
    """
    check_detector_recipe(recipe)
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {out}: is a file; choose a folder")
    training, _ = split(photographs, recipe.validation_sources)
    if len(training) < recipe.batch_size:
        raise DatasetError(f"{len(training)} photographs to train on are fewer than one batch of {recipe.batch_size}")
    Teacher(teacher)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RECIPE_FILE, asdict(recipe))
    keras.utils.set_random_seed(recipe.seed)
    trainer = _Trainer(recipe, steps_per_epoch=len(training) // recipe.batch_size)
    trainer.load(out / CHECKPOINT_FILE)
    if recipe.start and trainer.epoch == 0:
        shown = islice(batches(training, teacher, recipe, 0), _SHOWN)
        trainer.begin(Path(recipe.start), (pictures for pictures, _ in shown))
    for epoch in range(trainer.epoch, recipe.epochs):
        started = time.perf_counter()
        losses = trainer.run_epoch(training, teacher)
        trainer.history.append({"epoch": epoch + 1, **losses, "seconds": time.perf_counter() - started})
        trainer.save(out / CHECKPOINT_FILE)
        write_log(out / LOG_FILE, trainer.history)
        print(" ".join(f"{key} {value:.4g}" for key, value in trainer.history[-1].items()), flush=True)
    averaged = trainer.averaged_network()
    averaged.save_weights(out / WEIGHTS_FILE)
    return averaged


def checkpointed_network(out: Path) -> keras.Model:
    """The network with the averaged weights of the last checkpoint in `out`: a look at a training under way."""
    path = out / CHECKPOINT_FILE
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; the folder holds no unfinished training")
    with np.load(path, allow_pickle=False) as state:
        recipe = json.loads(str(state["notes"]))["recipe"]
        bare = face_network(**recipe["options"])
        bare.set_weights([state[f"average{i}"] for i in range(len(bare.weights))])
    return bare


def batches(
    photographs: list[Photograph], teacher: Path, recipe: DetectorRecipe, epoch: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """One epoch of views, float32 (n, side, side, 1), and targets, float32 (n, cells, 18); the same for the same recipe
    and epoch."""
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(photographs))
    local = threading.local()
    calm = epoch >= recipe.epochs - recipe.calm_epochs
    views = recipe.views.calmer() if calm else recipe.views

    def prepare(batch: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if not hasattr(local, "teacher"):
            local.teacher = Teacher(teacher)
        rng = np.random.default_rng([recipe.seed, epoch, batch])
        pairs = []
        for row in order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]:
            chosen = [photographs[i] for i in (row, *rng.integers(0, len(photographs), 3))]
            view = draw_view(chosen, views, rng)
            pairs.append((degrade(view, views, rng), make_targets(view, local.teacher.look(view.picture))))
        pictures, wanted = (np.stack(part) for part in zip(*pairs, strict=True))
        return pictures[..., None].astype(np.float32), wanted

    # Each thread has a core of its own to fill; OpenCV's threads on top would only fight for it.
    cv2.setNumThreads(1)
    return prefetched(prepare, len(photographs) // recipe.batch_size, _LOADERS)


def detector_loss(recipe: DetectorRecipe, wanted: Any, given: Any) -> Any:
    """A scalar from targets (n, cells, 18) and outputs (n, cells, 15).

    Score: quality focal loss (Li et al. 2020, "Generalized Focal Loss", beta 2). Box and landmarks: mean absolute error
    in widths and heights of the face, the logarithm for sizes. All are sums over cells divided by the sum of scores.
    """
    score = wanted[..., target.SCORE]
    logit = given[..., network.SCORE][..., 0]
    cross_entropy = ops.maximum(logit, 0) - logit * score + ops.log1p(ops.exp(-ops.abs(logit)))
    focus = ops.square(score - ops.sigmoid(logit)) * wanted[..., target.SCORE_WEIGHT]
    box = wanted[..., target.BOX]
    size = ops.exp(box[..., 2:])
    box_scale = ops.concatenate([size, ops.ones_like(size)], axis=-1)
    box_error = ops.mean(ops.abs(given[..., network.BOX] - box) / box_scale, axis=-1)
    landmark_scale = ops.tile(size, (1, 1, 5))
    landmark_error = ops.abs(given[..., network.LANDMARKS] - wanted[..., target.LANDMARKS]) / landmark_scale
    landmark_error = ops.mean(landmark_error, axis=-1)
    total = (
        ops.sum(focus * cross_entropy)
        + recipe.box_loss * ops.sum(wanted[..., target.BOX_WEIGHT] * box_error)
        + recipe.landmark_loss * ops.sum(wanted[..., target.LANDMARKS_WEIGHT] * landmark_error)
    )
    return total / ops.maximum(ops.sum(score * wanted[..., target.SCORE_WEIGHT]), 1.0)


class _Trainer:
    """A compiled network with averaged weights, and its state on disk as plain arrays for any backend."""

    def __init__(self, recipe: DetectorRecipe, steps_per_epoch: int) -> None:
        self.recipe, self.steps_per_epoch = recipe, steps_per_epoch
        with precision(recipe.precision):
            bare = face_network(**recipe.options)
        self.weights = bare.weights
        flat = [keras.layers.Reshape((-1, network.CHANNELS), dtype="float32")(one) for one in bare.outputs]
        self.model = keras.Model(bare.inputs, keras.layers.Concatenate(axis=1, dtype="float32")(flat))
        schedule = cosine_schedule(recipe.learning_rate, recipe.epochs, recipe.warmup_epochs, steps_per_epoch)
        self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, clipnorm=5.0)
        self.model.compile(self.optimizer, lambda a, b: detector_loss(recipe, a, b), jit_compile=compiled_whole())
        self.optimizer.build(self.model.trainable_variables)
        # Copies, here and below: JAX gives a step's memory away to the next one.
        self.average = [keras.Variable(weight, trainable=False, dtype="float32") for weight in bare.get_weights()]
        self.history: list[dict[str, float]] = []

    @property
    def epoch(self) -> int:
        """Epochs done so far."""
        return len(self.history)

    def begin(self, folder: Path, pictures: Iterable[NDArray[np.float32]]) -> None:
        """Take the weights of an earlier network; see `start_from`."""
        start_from(folder, self.weights, pictures)
        for average, weight in zip(self.average, self.weights, strict=True):
            average.assign(ops.convert_to_numpy(weight))

    def run_epoch(self, photographs: list[Photograph], teacher: Path) -> dict[str, float]:
        """Train one epoch, moving the averaged weights along; returns the mean loss."""
        losses = []
        for inputs, wanted in batches(photographs, teacher, self.recipe, self.epoch):
            self.model.reset_metrics()
            losses.append(float(self.model.train_on_batch(inputs, wanted)))
            step = self.epoch * self.steps_per_epoch + len(losses)
            decay = min(self.recipe.ema, (1 + step) / (10 + step))
            for average, weight in zip(self.average, self.weights, strict=True):
                average.assign(decay * average + (1 - decay) * ops.cast(weight, "float32"))
        return {"loss": float(np.mean(losses))}

    def averaged_network(self) -> keras.Model:
        """A network in float32 with the averaged weights."""
        bare = face_network(**self.recipe.options)
        bare.set_weights([ops.convert_to_numpy(average) for average in self.average])
        return bare

    def _state(self) -> dict[str, Any]:
        named = {f"average{i}": variable for i, variable in enumerate(self.average)}
        named.update({f"weight{i}": variable for i, variable in enumerate(self.weights)})
        return {**named, **{f"optimizer{i}": variable for i, variable in enumerate(self.optimizer.variables)}}

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        save_checkpoint(path, self._state(), self.recipe, self.history)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one. Raises DatasetError if it belongs to another recipe."""
        self.history = load_checkpoint(path, self._state(), self.recipe)
