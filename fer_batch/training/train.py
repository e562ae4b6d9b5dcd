"""Train an emotion model from labelled faces, resumable at any epoch, on any Keras backend."""

from __future__ import annotations

import csv
import json
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS, merge_disgust
from fer_batch.files import write_json, write_whole
from fer_batch.models.architectures import ARCHITECTURES, all_options
from fer_batch.models.folder import WEIGHTS_FILE, ModelConfig, file_sha256, write_config
from fer_batch.models.network import network_logits, softmax
from fer_batch.models.preprocessing import PREPROCESSING
from fer_batch.training.augment import augment
from fer_batch.training.copies import has_copy
from fer_batch.training.dataset import DatasetError, Faces
from fer_batch.training.recipe import RECIPE_FILE, Recipe, check_recipe

CHECKPOINT_FILE = "checkpoint.npz"
LOG_FILE = "training_log.csv"
_PREFETCH = 4


def train(faces: Faces, recipe: Recipe, out: Path, name: str, version: str) -> Path:
    """Train on the `Training` rows of `faces` and leave a model folder at `out`.

    Copies of any other split's faces are taken out of training. A checkpoint is written every epoch, and the same
    call goes on from it. Raises DatasetError for data, or a checkpoint, that does not fit.
    """
    check_recipe(recipe)
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {out}: is a file; choose a folder")
    training, held_out = training_split(faces, recipe)
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    model = _build(recipe)
    trainer = _Trainer(model, recipe, steps_per_epoch=len(training) // recipe.batch_size)
    trainer.load(out / CHECKPOINT_FILE)
    for epoch in range(trainer.epoch, recipe.epochs):
        started = time.perf_counter()
        loss = trainer.run_epoch(training)
        held = label_loss(trainer.averaged_logits(held_out.images), _targets(held_out, recipe).argmax(axis=1))
        trainer.record(epoch=epoch + 1, loss=loss, **held, seconds=time.perf_counter() - started)
        trainer.save(out / CHECKPOINT_FILE)
        print(" ".join(f"{key} {value:.4g}" for key, value in trainer.history[-1].items()), flush=True)
    logits = trainer.averaged_logits(held_out.images)
    temperature = fit_temperature(logits, _targets(held_out, recipe).argmax(axis=1))
    trainer.swap_in_average()
    _write_folder(model, recipe, temperature, trainer.history, out, name, version)
    (out / CHECKPOINT_FILE).unlink(missing_ok=True)
    return out


def _build(recipe: Recipe) -> keras.Model:
    """The untrained network; its layers keep the precision they are built with."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if recipe.precision == "bfloat16" else "float32")
    try:
        return ARCHITECTURES[recipe.architecture](len(recipe.labels), **recipe.options)
    finally:
        keras.config.set_dtype_policy(policy)


def training_split(faces: Faces, recipe: Recipe) -> tuple[Faces, Faces]:
    """The faces to train on and the held-out ones, from the `Training` rows alone.

    No face of either has a copy in another split, and none to train on has a copy among the held-out ones.
    """
    training = faces.split("Training")
    others = faces.take(faces.usages != "Training")
    training = training.take(~has_copy(training.images, others.images))
    rng = np.random.default_rng(recipe.seed)
    held = np.zeros(len(training), bool)
    held[rng.permutation(len(training))[: max(1, round(recipe.holdout * len(training)))]] = True
    held_out, rest = training.take(held), training.take(~held)
    rest = rest.take(~has_copy(rest.images, held_out.images))
    if len(rest) < recipe.batch_size:
        raise DatasetError(f"{len(rest)} faces to train on are fewer than one batch of {recipe.batch_size}")
    return rest, held_out


def _targets(faces: Faces, recipe: Recipe) -> NDArray[np.float32]:
    """One-hot targets, shape (n, classes)."""
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[faces.labels]
    return merge_disgust(targets) if recipe.merge_disgust else targets


def batches(faces: Faces, recipe: Recipe, epoch: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """One epoch of shuffled, augmented batches; the same ones for the same recipe and epoch."""
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(faces))
    targets = _targets(faces, recipe)
    preprocess = PREPROCESSING[recipe.preprocessing]

    def prepare(batch: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        rng = np.random.default_rng([recipe.seed, epoch, batch])
        return preprocess(augment(faces.images[rows], recipe.augmentation, rng)), targets[rows]

    with ThreadPoolExecutor(1) as pool:
        pending = deque[Any]()
        for batch in range(len(faces) // recipe.batch_size):
            pending.append(pool.submit(prepare, batch))
            if len(pending) > _PREFETCH:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class _Trainer:
    """A compiled model with averaged weights, and its state on disk as plain arrays for any backend."""

    def __init__(self, model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
        self.model, self.recipe = model, recipe
        steps, warmup = steps_per_epoch * recipe.epochs, int(steps_per_epoch * recipe.warmup_epochs)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - warmup), warmup_target=recipe.learning_rate, warmup_steps=warmup
        )
        self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
        # XLA makes convolutions on the CPU slower (134 against 232 images a second when measured).
        model.compile(self.optimizer, loss, jit_compile=False)
        self.optimizer.build(model.trainable_variables)
        self.average = [keras.Variable(weight, trainable=False) for weight in model.weights]
        self.history: list[dict[str, float]] = []

    @property
    def epoch(self) -> int:
        """Epochs done so far."""
        return len(self.history)

    def run_epoch(self, faces: Faces) -> float:
        """Train one epoch, moving the averaged weights along; returns the mean loss."""
        losses = []
        for inputs, targets in batches(faces, self.recipe, self.epoch):
            losses.append(float(self.model.train_on_batch(inputs, targets)))
            step = self.epoch * (len(faces) // self.recipe.batch_size) + len(losses)
            decay = min(self.recipe.ema, (1 + step) / (10 + step))
            for average, weight in zip(self.average, self.model.weights, strict=True):
                average.assign(decay * average + (1 - decay) * weight)
        self.model.reset_metrics()
        return float(np.mean(losses))

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

    def _variables(self) -> list[Any]:
        # Among the variables that are not trained are the states of dropout's random numbers, which weights leave out.
        model = [*self.model.trainable_variables, *self.model.non_trainable_variables]
        return [*model, *self.optimizer.variables, *self.average]

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        state = {f"v{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(self._variables())}
        notes = json.dumps({"recipe": asdict(self.recipe), "history": self.history})

        def write(aside: Path) -> None:
            with aside.open("wb") as stream:  # By name, NumPy would add a suffix.
                np.savez(stream, notes=np.array(notes), **state)

        write_whole(path, write)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one. Raises DatasetError if it belongs to another recipe."""
        if not path.exists():
            return
        with np.load(path, allow_pickle=False) as state:
            notes = json.loads(str(state["notes"]))
            if notes["recipe"] != json.loads(json.dumps(asdict(self.recipe))):
                raise DatasetError(f"{path}: belongs to another recipe; remove it to start over")
            for i, variable in enumerate(self._variables()):
                variable.assign(state[f"v{i}"])
            self.history = notes["history"]


def label_loss(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood (nats) of logits (n, classes) against labels (n,)."""
    chosen = softmax(logits)[np.arange(len(labels)), labels]
    accuracy = (logits.argmax(axis=1) == labels).mean()
    return {"held_out_accuracy": float(accuracy), "held_out_nll": float(-np.log(chosen + 1e-12).mean())}


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature in 0.1..10 with the least NLL (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    The NLL is convex in 1 / temperature, so a ternary search over its logarithm finds the one minimum.
    """
    low, high = np.log(0.1), np.log(10.0)
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        losses = [label_loss(logits / np.exp(t), labels)["held_out_nll"] for t in (left, right)]
        low, high = (low, right) if losses[0] < losses[1] else (left, high)
    return float(np.exp((low + high) / 2))


def _write_folder(
    model: keras.Model,
    recipe: Recipe,
    temperature: float,
    history: list[dict[str, float]],
    out: Path,
    name: str,
    version: str,
) -> None:
    # A compiled model would save its optimizer's state along, twice the size of the weights.
    bare = ARCHITECTURES[recipe.architecture](len(recipe.labels), **recipe.options)
    bare.set_weights(model.get_weights())
    bare.save_weights(out / WEIGHTS_FILE)
    config = ModelConfig(
        name=name,
        version=version,
        architecture=recipe.architecture,
        options=all_options(recipe.architecture, recipe.options),
        labels=recipe.labels,
        preprocessing=recipe.preprocessing,
        temperature=round(temperature, 6),
        mirror=recipe.mirror,
        weights_sha256=file_sha256(out / WEIGHTS_FILE),
    )
    write_config(out, config)
    write_json(out / RECIPE_FILE, asdict(recipe))
    with (out / LOG_FILE).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, history[0])
        writer.writeheader()
        writer.writerows(history)
