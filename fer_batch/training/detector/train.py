"""Train a face detector on labelled photographs, resumable at any epoch, on any Keras backend."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from fer_batch.atomic import write_json
from fer_batch.detection import network
from fer_batch.detection.network import face_network
from fer_batch.errors import DatasetError
from fer_batch.model_folder import WEIGHTS_FILE
from fer_batch.training.common.checkpoints import (
    CHECKPOINT_FILE,
    LOG_FILE,
    load_checkpoint,
    save_checkpoint,
    write_log,
)
from fer_batch.training.common.schedule import compiled_whole, precision
from fer_batch.training.detector.batches import Batch, batch_stream
from fer_batch.training.detector.loss import detector_loss
from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.recipe import RECIPE_FILE, DetectorRecipe, check_detector_recipe
from fer_batch.training.detector.start import start_from

_GRADIENT_NORM = 5.0
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def train_detector(photographs: list[Photograph], recipe: DetectorRecipe, out: Path) -> keras.Model:
    """Train on the photographs that are not held out; leave weights, recipe and log in `out`.

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
    averaged = trainer.averaged_network()
    averaged.save_weights(out / WEIGHTS_FILE)
    return averaged


def learning_rate(recipe: DetectorRecipe, step: int) -> float:
    """The learning rate of a step: a straight rise, a plateau, and a cosine down to 0 in the last epochs. Until these
    begin it does not depend on how many epochs there are, so that a run can be made longer."""
    start, end = (recipe.epochs - recipe.decay_epochs) * recipe.steps, recipe.epochs * recipe.steps
    falling = (1 + math.cos(math.pi * min(1.0, max(0.0, (step - start) / max(1, end - start))))) / 2
    return recipe.learning_rate * falling * min(1.0, (step + 1) / max(1, recipe.warmup_steps))


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


class _KerasSteps:
    """Steps by Keras's own optimizer, on any backend."""

    def __init__(self, recipe: DetectorRecipe, model: _Detector) -> None:
        self.model, self.weights = model, model.bare.weights
        self.optimizer = keras.optimizers.AdamW(weight_decay=recipe.weight_decay, clipnorm=_GRADIENT_NORM)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gain"])
        model.compile(self.optimizer, jit_compile=compiled_whole())
        self.optimizer.build(model.bare.trainable_variables)
        # Copies, here and below: JAX gives a step's memory away to the next one.
        self.average = [keras.Variable(weight, trainable=False, dtype="float32") for weight in model.bare.get_weights()]

    def step(self, inputs: Any, wanted: Any, rate: float, decay: float) -> float:
        """One step; the averaged weights follow by `decay`. Returns the loss."""
        self.optimizer.learning_rate = rate
        self.model.reset_metrics()
        loss = float(self.model.train_on_batch(inputs, wanted))
        for average, weight in zip(self.average, self.weights, strict=True):
            average.assign(decay * average + (1 - decay) * ops.cast(weight, "float32"))
        return loss

    def state(self) -> dict[str, Any]:
        """The optimizer's variables by name."""
        return {f"optimizer{i}": variable for i, variable in enumerate(self.optimizer.variables)}


class _TorchSteps(_KerasSteps):
    """Steps by PyTorch's fused optimizer, which takes a tenth of the time of Keras's."""

    def __init__(self, recipe: DetectorRecipe, model: _Detector) -> None:
        import torch

        self.model, self.weights = model, model.bare.weights
        self.average = [keras.Variable(weight, trainable=False, dtype="float32") for weight in model.bare.get_weights()]
        self.parameters = [variable.value for variable in self.weights]
        kernels = [parameter for parameter in self.parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in self.parameters if parameter.ndim == 1]
        groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        for parameter in self.parameters:  # As the first step makes it, so that a checkpoint can be loaded before.
            moments = {name: torch.zeros_like(parameter) for name in _MOMENTS[1:]}
            self.optimizer.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}

    def step(self, inputs: Any, wanted: Any, rate: float, decay: float) -> float:
        """See `_KerasSteps.step`."""
        import torch

        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = self.model.compute_loss(None, wanted, self.model(ops.convert_to_tensor(inputs)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, _GRADIENT_NORM)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_([average.value for average in self.average], self.parameters, 1 - decay)
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """See `_KerasSteps.state`."""
        states = [self.optimizer.state[parameter] for parameter in self.parameters]
        return {f"{name}{i}": _Assignable(state[name]) for i, state in enumerate(states) for name in _MOMENTS}


class _Assignable:
    """A PyTorch tensor that is saved and loaded like a Keras variable."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def assign(self, value: NDArray[Any]) -> None:
        """Take the values of an array."""
        self.tensor.copy_(ops.convert_to_tensor(value))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.tensor.detach().cpu(), dtype)


class _Trainer:
    """A network in training with averaged weights, and its state on disk as plain arrays for any backend."""

    def __init__(self, recipe: DetectorRecipe) -> None:
        self.recipe = recipe
        with precision(recipe.precision):
            model = _Detector(recipe, face_network(**recipe.options))
        self.steps = (_TorchSteps if keras.backend.backend() == "torch" else _KerasSteps)(recipe, model)
        self.history: list[dict[str, float]] = []

    @property
    def epoch(self) -> int:
        """Epochs done so far."""
        return len(self.history)

    def begin(self, folder: Path) -> None:
        """Take the network of an earlier training; see `start_from`."""
        start_from(folder, self.steps.model.bare)
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
        bare = face_network(**self.recipe.options)
        bare.set_weights([ops.convert_to_numpy(average) for average in self.steps.average])
        return bare

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
