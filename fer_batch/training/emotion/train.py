"""Train an emotion model on labelled faces, resumable at any epoch, on any Keras backend."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np

from fer_batch.atomic import write_json
from fer_batch.emotion.architectures import ARCHITECTURES, all_options
from fer_batch.emotion.model import softmax
from fer_batch.emotion.model_folder import ModelConfig, write_config
from fer_batch.errors import DatasetError
from fer_batch.model_folder import INT8_FILE, WEIGHTS_FILE, file_sha256
from fer_batch.onnx.export import has_onnx
from fer_batch.share_correction import ShareCorrection
from fer_batch.training.common.checkpoints import CHECKPOINT_FILE, LOG_FILE, History, write_log
from fer_batch.training.emotion.batches import training_split
from fer_batch.training.emotion.calibration import fit_share_correction, fit_temperature, held_out_metrics
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.export import quantize_model
from fer_batch.training.emotion.recipe import RECIPE_FILE, Recipe, check_recipe
from fer_batch.training.emotion.targets import available_heads, plain_targets
from fer_batch.training.emotion.trainer import Trainer, build_network


def train(faces: Faces, recipe: Recipe, out: Path, name: str, version: str) -> Path:
    """Train on the `Training` rows of `faces` and write a model folder; with the package onnx, its INT8 network too.

    Near duplicates of other splits' faces are excluded from training. A checkpoint is written every epoch, and the same
    call resumes from it.

    Args:
        faces: All splits.
        recipe: What determines the run.
        out: The folder; created if need be.
        name: The model's name.
        version: The model's version.

    Returns:
        `out`.

    Raises:
        DatasetError: Data, recipe or checkpoint do not fit.
    """
    check_recipe(recipe)
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {out}: is a file; choose a folder")
    recipe = replace(recipe, heads=available_heads(faces, recipe.heads))
    training, held_out = training_split(faces, recipe)
    keras.utils.set_random_seed(recipe.seed)
    trainer = Trainer(build_network(recipe), recipe, steps_per_epoch=len(training) // recipe.batch_size)
    out.mkdir(parents=True, exist_ok=True)
    trainer.load(out / CHECKPOINT_FILE)
    truths = plain_targets(held_out, recipe)
    for epoch in range(trainer.epoch, recipe.epochs):
        started = time.perf_counter()
        loss = trainer.run_epoch(training)
        metrics = held_out_metrics(trainer.averaged_logits(held_out.images), truths)
        seconds = time.perf_counter() - started
        trainer.history.append({"epoch": epoch + 1, "loss": loss, **metrics, "seconds": seconds})
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
        print(f"the package onnx is not installed: `fer-batch quantize {out} DATA` writes the INT8 network for CPUs")
    (out / CHECKPOINT_FILE).unlink(missing_ok=True)
    return out


def _tables_head(recipe: Recipe) -> str:
    return "ferplus" if "ferplus" in recipe.heads else "fer2013"


def _write_folder(
    model: keras.Model,
    recipe: Recipe,
    temperatures: dict[str, float],
    correction: ShareCorrection | None,
    history: History,
    out: Path,
    name: str,
    version: str,
) -> None:
    # A compiled model would save its optimizer's state too, twice the size of the weights.
    bare = ARCHITECTURES[recipe.architecture](recipe.outputs, **recipe.options)
    bare.set_weights(model.get_weights())
    bare.save_weights(out / WEIGHTS_FILE)
    (out / INT8_FILE).unlink(missing_ok=True)  # From an earlier training.
    config = ModelConfig(
        name=name,
        version=version,
        architecture=recipe.architecture,
        options=all_options(recipe.architecture, recipe.options),
        labels=recipe.labels,
        preprocessing=recipe.preprocessing,
        heads=temperatures,
        tables=_tables_head(recipe),
        flip_averaging=recipe.flip_averaging,
        share_correction=correction,
        weights_sha256=file_sha256(out / WEIGHTS_FILE),
    )
    write_config(out, config)
    write_json(out / RECIPE_FILE, asdict(recipe))
    write_log(out / LOG_FILE, history)
