"""Train an emotion model from labelled faces, resumable at any epoch, on any Keras backend."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from fer_batch.files import write_json
from fer_batch.models.architectures import ARCHITECTURES, all_options
from fer_batch.models.emotion_model import softmax
from fer_batch.models.folder import (
    INT8_FILE,
    WEIGHTS_FILE,
    ModelConfig,
    file_sha256,
    find_model,
    read_config,
    write_config,
)
from fer_batch.models.network import EmotionNetwork, load_weights, network_logits
from fer_batch.models.preprocessing import PREPROCESSING
from fer_batch.shares import ShareCorrection
from fer_batch.training.augment import augment
from fer_batch.training.calibration import fit_share_correction, fit_temperature, held_out_figures
from fer_batch.training.copies import has_copy
from fer_batch.training.course import cosine_schedule, load_checkpoint, precision, save_checkpoint, write_log
from fer_batch.training.dataset import DatasetError, Faces
from fer_batch.training.export import quantize_model
from fer_batch.training.onnx_graph import has_onnx
from fer_batch.training.recipe import RECIPE_FILE, Recipe, check_recipe, read_recipe
from fer_batch.training.targets import answerable_heads, plain_targets, training_targets

CHECKPOINT_FILE = "checkpoint.npz"
LOG_FILE = "training_log.csv"
_PREFETCH = 4
#: How far and often faces are changed in the calm epochs, as a share of the recipe's.
_CALM = 0.3
#: Steps between two moves of the averaged weights; the decay is taken to this power.
_AVERAGE_EVERY = 4


def train(faces: Faces, recipe: Recipe, out: Path, name: str, version: str) -> Path:
    """Train on the `Training` rows of `faces` and leave a model folder at `out`; in 8 bits too, with the package onnx.

    Copies of any other split's faces are taken out of training. A checkpoint is written every epoch, and the same
    call goes on from it. Raises DatasetError for data, or a checkpoint, that does not fit.
    """
    check_recipe(recipe)
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {out}: is a file; choose a folder")
    recipe = replace(recipe, heads=answerable_heads(faces, recipe.heads))
    training, held_out = training_split(faces, recipe)
    keras.utils.set_random_seed(recipe.seed)
    trainer = _Trainer(_build(recipe), recipe, steps_per_epoch=len(training) // recipe.batch_size)
    out.mkdir(parents=True, exist_ok=True)
    trainer.load(out / CHECKPOINT_FILE)
    truths = plain_targets(held_out, recipe)
    for epoch in range(trainer.epoch, recipe.epochs):
        started = time.perf_counter()
        loss = trainer.run_epoch(training)
        held = held_out_figures(trainer.averaged_logits(held_out.images), truths)
        trainer.record(epoch=epoch + 1, loss=loss, **held, seconds=time.perf_counter() - started)
        trainer.save(out / CHECKPOINT_FILE)
        print(" ".join(f"{key} {value:.4g}" for key, value in trainer.history[-1].items()), flush=True)
    logits = np.split(trainer.averaged_logits(held_out.images), len(recipe.heads), axis=1)
    by_head = dict(zip(recipe.heads, logits, strict=True))
    temperatures = {head: round(fit_temperature(part, truths[head]), 6) for head, part in by_head.items()}
    tables = _tables_head(recipe)
    correction = fit_share_correction(softmax(by_head[tables], temperatures[tables]), truths[tables])
    trainer.swap_in_average()
    _write_folder(trainer.model, recipe, temperatures, correction, trainer.history, out, name, version)
    if has_onnx():
        quantize_model(out, faces)
    else:
        print(f"no package onnx here: `fer-batch quantize {out} DATA` makes the file that processors compute with")
    (out / CHECKPOINT_FILE).unlink(missing_ok=True)
    return out


def share_correction(folder: Path, faces: Faces) -> ShareCorrection | None:
    """The `share_correction` of a model folder whose config has none, from the faces it was trained on."""
    recipe = read_recipe(folder / RECIPE_FILE)
    _, held_out = training_split(faces, recipe)
    network = EmotionNetwork(folder, recipe.batch_size)
    return fit_share_correction(
        network.probabilities(held_out.images), plain_targets(held_out, recipe)[network.config.tables]
    )


def _tables_head(recipe: Recipe) -> str:
    return "ferplus" if "ferplus" in recipe.heads else "fer2013"


def _build(recipe: Recipe) -> keras.Model:
    """The network before its first epoch."""
    build = ARCHITECTURES[recipe.architecture]
    any_side = {"side": None} if recipe.sides else {}
    try:
        with precision(recipe.precision):
            model = build(_outputs(recipe), **recipe.options, **any_side)
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
    begun = ARCHITECTURES[config.architecture](len(config.heads) * len(config.labels), **config.options)
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


def _outputs(recipe: Recipe) -> int:
    return len(recipe.heads) * len(recipe.labels)


def training_split(faces: Faces, recipe: Recipe) -> tuple[Faces, Faces]:
    """The faces to train on and the held-out ones, from the `Training` rows alone.

    No face of either has a copy in another split, and none to train on has a copy among the held-out ones.
    """
    training = faces.split("Training")
    others = faces.take(faces.usages != "Training")
    training = training.take(~has_copy(training.images, others.images))
    rng = np.random.default_rng(recipe.split_seed)
    held = np.zeros(len(training), bool)
    held[rng.permutation(len(training))[: max(1, round(recipe.holdout * len(training)))]] = True
    held_out, rest = training.take(held), training.take(~held)
    rest = rest.take(~has_copy(rest.images, held_out.images))
    if len(rest) < recipe.batch_size:
        raise DatasetError(f"{len(rest)} faces to train on are fewer than one batch of {recipe.batch_size}")
    return rest, held_out


def batches(faces: Faces, recipe: Recipe, epoch: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """One epoch of shuffled, changed batches; the same ones for the same recipe and epoch.

    A batch is uint8 (batch_size, 48, 48) and its targets, float32 (batch_size, heads x classes).
    """
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(faces))
    targets = training_targets(faces, recipe)
    calm = epoch >= recipe.epochs - recipe.calm_epochs
    ranges = recipe.augmentation.times(_CALM) if calm else recipe.augmentation

    def prepare(batch: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        rng = np.random.default_rng([recipe.seed, epoch, batch])
        images = augment(faces.images[rows], ranges, rng)
        return (images, targets[rows]) if calm else mixed(images, targets[rows], recipe.mixup, rng)

    with ThreadPoolExecutor(1) as pool:
        pending = deque[Any]()
        for batch in range(len(faces) // recipe.batch_size):
            pending.append(pool.submit(prepare, batch))
            if len(pending) > _PREFETCH:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _at_side(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if side == images.shape[1]:
        return images
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])


def mixed(
    images: NDArray[np.uint8], targets: NDArray[np.float32], alpha: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Each face mixed with another one of the batch, and their targets alike (Zhang et al. 2018, "mixup")."""
    if alpha <= 0:
        return images, targets
    share = rng.beta(alpha, alpha, len(images)).astype(np.float32)
    share = np.maximum(share, 1 - share)[:, None]
    partner = rng.permutation(len(images))
    pixels = share[:, :, None] * images + (1 - share[:, :, None]) * images[partner]
    return pixels.round().astype(np.uint8), share * targets + (1 - share) * targets[partner]


def _heads_loss(heads: int) -> Any:
    """Cross-entropy with soft targets, added up over the heads. A row of targets that sums to less counts for less."""

    def loss(targets: Any, logits: Any) -> Any:
        shape = (-1, heads, logits.shape[-1] // heads)
        likelihoods = keras.ops.log_softmax(keras.ops.reshape(logits, shape), axis=-1)
        return -keras.ops.sum(keras.ops.reshape(targets, shape) * likelihoods, axis=(1, 2))

    return loss


def _teacher(folder: str, recipe: Recipe) -> EmotionNetwork:
    with precision(recipe.precision):
        teacher = EmotionNetwork(find_model(folder), recipe.batch_size)
    # The mirrored pair would cost as much again; faces come mirrored half of the time anyway.
    teacher.config = replace(teacher.config, mirror=False)
    if teacher.config.labels != recipe.labels or not set(recipe.heads) <= set(teacher.config.heads):
        raise DatasetError(f"recipe: teacher {folder} has other labels or heads than {', '.join(recipe.heads)}")
    return teacher


class _Trainer:
    """A compiled model with averaged weights, and its state on disk as plain arrays for any backend."""

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
        # XLA makes convolutions on the CPU slower (134 against 232 images a second when measured).
        model.compile(self.optimizer, _heads_loss(len(recipe.heads)), jit_compile=False)
        self.optimizer.build(model.trainable_variables)
        self.teachers = [_teacher(folder, recipe) for folder in recipe.teachers]
        self.average = [keras.Variable(weight, trainable=False) for weight in model.weights]
        self.history: list[dict[str, float]] = []

    @property
    def epoch(self) -> int:
        """Epochs done so far."""
        return len(self.history)

    def run_epoch(self, faces: Faces) -> float:
        """Train one epoch, moving the averaged weights along; returns the mean loss."""
        preprocess = PREPROCESSING[self.recipe.preprocessing]
        step = self.epoch * (len(faces) // self.recipe.batch_size)
        side = self.recipe.side(self.epoch)
        losses = []
        for crops, targets in batches(faces, self.recipe, self.epoch):
            taught = self._taught(crops, targets, step)
            inputs = preprocess(_at_side(crops, side))
            losses.append(float(self.model.train_on_batch(inputs, taught)))
            step += 1
            if step % _AVERAGE_EVERY == 0:
                decay = min(self.recipe.ema, (1 + step) / (10 + step)) ** _AVERAGE_EVERY
                for average, weight in zip(self.average, self.model.weights, strict=True):
                    average.assign(decay * average + (1 - decay) * weight)
        self.model.reset_metrics()
        return float(np.mean(losses))

    def _taught(self, crops: NDArray[np.uint8], targets: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        """The targets with a teacher's share of them.

        The loss is linear in its targets, so that teachers who answer in turn teach the mean of their answers, at the
        cost of one.
        """
        if not self.teachers:
            return targets
        answers = self.teachers[step % len(self.teachers)].answers(crops)
        share = self.recipe.distill
        said = np.concatenate([answers[head] for head in self.recipe.heads], axis=1)
        return np.asarray((1 - share) * targets + share * said, np.float32)

    def record(self, **figures: float) -> None:
        self.history.append(figures)

    def swap_in_average(self) -> None:
        """Exchange the model's weights with their average; a second call puts them back."""
        current = self.model.get_weights()
        self.model.set_weights([keras.ops.convert_to_numpy(average) for average in self.average])
        for average, weight in zip(self.average, current, strict=True):
            average.assign(weight)

    def averaged_logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of the averaged weights; (n, 48, 48) to (n, classes)."""
        self.swap_in_average()
        preprocess = PREPROCESSING[self.recipe.preprocessing]
        logits = network_logits(self.model, preprocess, crops, self.recipe.batch_size, self.recipe.mirror)
        self.swap_in_average()
        return logits

    def _state(self) -> dict[str, Any]:
        # Among the variables that are not trained are the states of dropout's random numbers, which weights leave out.
        model = [*self.model.trainable_variables, *self.model.non_trainable_variables]
        everything = [*model, *self.optimizer.variables, *self.average]
        return {f"v{i}": variable for i, variable in enumerate(everything)}

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        save_checkpoint(path, self._state(), self.recipe, self.history)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one. Raises DatasetError if it belongs to another recipe."""
        self.history = load_checkpoint(path, self._state(), self.recipe)


def _write_folder(
    model: keras.Model,
    recipe: Recipe,
    temperatures: dict[str, float],
    correction: ShareCorrection | None,
    history: list[dict[str, float]],
    out: Path,
    name: str,
    version: str,
) -> None:
    # A compiled model would save its optimizer's state along, twice the size of the weights.
    bare = ARCHITECTURES[recipe.architecture](_outputs(recipe), **recipe.options)
    bare.set_weights(model.get_weights())
    bare.save_weights(out / WEIGHTS_FILE)
    (out / INT8_FILE).unlink(missing_ok=True)  # Of an earlier training.
    config = ModelConfig(
        name=name,
        version=version,
        architecture=recipe.architecture,
        options=all_options(recipe.architecture, recipe.options),
        labels=recipe.labels,
        preprocessing=recipe.preprocessing,
        heads=temperatures,
        tables=_tables_head(recipe),
        mirror=recipe.mirror,
        share_correction=correction,
        weights_sha256=file_sha256(out / WEIGHTS_FILE),
    )
    write_config(out, config)
    write_json(out / RECIPE_FILE, asdict(recipe))
    write_log(out / LOG_FILE, history)
