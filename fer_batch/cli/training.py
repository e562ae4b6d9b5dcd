"""The commands that train, evaluate and quantize networks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from fer_batch.cli.exit_status import endings
from fer_batch.config import DetectorConfig

_OF_RECIPE = "[default: the recipe's]"
RecipeFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Recipe as JSON; options override it.")]
Epochs = Annotated[int | None, typer.Option(min=1, metavar="N", help=f"Passes over the data.  {_OF_RECIPE}")]
LearningRate = Annotated[
    float | None, typer.Option(min=0.0, metavar="RATE", help=f"The highest of the schedule.  {_OF_RECIPE}")
]
Seed = Annotated[int | None, typer.Option(min=0, metavar="N", help=f"Of all that is random.  {_OF_RECIPE}")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the metrics there too, as JSON.")]


def train(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A .parquet or fer2013.csv, or a folder of train/<emotion>/*.jpg.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Model folder to write.", show_default=False)],
    recipe: RecipeFile = None,
    architecture: Annotated[
        str | None, typer.Option(metavar="NAME", help="Network.  [default: compact-resnet]")
    ] = None,
    epochs: Epochs = None,
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N", help=f"Faces in a step.  {_OF_RECIPE}")] = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    merge_disgust: Annotated[bool, typer.Option("--merge-disgust", help="Six classes: disgust joins angry.")] = False,
    name: Annotated[str, typer.Option(metavar="NAME", help="The model's name.")] = "emotion",
    version: Annotated[str, typer.Option(metavar="TEXT", help="The model's version.")] = "1",
) -> None:
    """Train an emotion model; the same command resumes from the last epoch's checkpoint."""
    with endings():
        _set_up_backend()
        from fer_batch.training.emotion.dataset import read_faces
        from fer_batch.training.emotion.recipe import Recipe, read_recipe, with_overrides
        from fer_batch.training.emotion.train import train as train_model

        overrides = {
            "architecture": architecture,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "merge_disgust": merge_disgust or None,
        }
        chosen = with_overrides(read_recipe(recipe) if recipe else Recipe(), overrides)
        train_model(read_faces(data), chosen, out, name, version)
        typer.echo(f"wrote {out}")


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, or the name of an embedded model.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled faces, as for train.")],
    usage: Annotated[str, typer.Option(metavar="NAME", help="The split of DATA to evaluate on.")] = "PublicTest",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the metrics there too, as JSON.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a model card and its pictures there.")
    ] = None,
) -> None:
    """Evaluate a model on labelled faces: accuracy, calibration and metrics per class."""
    with endings():
        from fer_batch.emotion.model_folder import find_model

        folder = find_model(model)  # Before TensorFlow is imported, which takes seconds and writes notes.
        _set_up_backend()
        from fer_batch.atomic import write_json
        from fer_batch.training.emotion.card import HELD_BACK, write_card
        from fer_batch.training.emotion.dataset import read_faces
        from fer_batch.training.emotion.evaluate import evaluate as evaluate_model
        from fer_batch.training.emotion.evaluate import report

        faces = read_faces(data)
        metrics = evaluate_model(folder, faces, usage)
        typer.echo(report(metrics))
        if json_file is not None:
            write_json(json_file, metrics)
        if card is not None:
            others = {HELD_BACK} & set(faces.usages) - {usage}
            write_card(card, folder, {usage: metrics} | {name: evaluate_model(folder, faces, name) for name in others})


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder made by train or train-detector.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The data it was trained on.")],
) -> None:
    """Quantize a model to INT8, as training does where the package onnx is installed; a detector also gets its default
    threshold again."""
    with endings():
        _set_up_backend()
        from fer_batch.detection.model_folder import ONNX_FILE, read_detector
        from fer_batch.emotion.model_folder import find_model, read_config
        from fer_batch.model_folder import INT8_FILE
        from fer_batch.onnx.export import check_onnx

        check_onnx()  # Before reading the data.
        folder = find_model(model)
        if (folder / ONNX_FILE).is_file():
            from fer_batch.training.detector.folder import quantize_detector
            from fer_batch.training.detector.photographs import read_photographs
            from fer_batch.training.detector.recipe import RECIPE_FILE, read_detector_recipe

            read_detector(folder)
            recipe = read_detector_recipe(folder / RECIPE_FILE)
            threshold = quantize_detector(folder, read_photographs(data), recipe)
            typer.echo(f"its default threshold is {threshold} now")
        else:
            from fer_batch.training.emotion.dataset import read_faces
            from fer_batch.training.emotion.export import quantize_model

            read_config(folder)
            quantize_model(folder, read_faces(data))
        typer.echo(f"wrote {folder / INT8_FILE}")


def train_detector(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A .parquet of photographs with boxes, landmarks and scores.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Detector folder to write.", show_default=False)],
    recipe: RecipeFile = None,
    epochs: Epochs = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="The detector's name.")] = "face_detector",
    version: Annotated[str, typer.Option(metavar="TEXT", help="The detector's version.")] = "1",
) -> None:
    """Train a face detector; the same command resumes from the last epoch's checkpoint."""
    with endings():
        _set_up_backend()
        from fer_batch.onnx.export import check_onnx
        from fer_batch.training.common.checkpoints import CHECKPOINT_FILE
        from fer_batch.training.detector.folder import write_detector_folder
        from fer_batch.training.detector.photographs import read_photographs
        from fer_batch.training.detector.recipe import DetectorRecipe, read_detector_recipe
        from fer_batch.training.detector.train import train_detector as train_network

        check_onnx()  # Before an hour of training.
        given = {"epochs": epochs, "learning_rate": learning_rate, "seed": seed}
        overrides: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        chosen = read_detector_recipe(recipe) if recipe else DetectorRecipe()
        chosen = replace(chosen, **overrides)
        photographs = read_photographs(data)
        network = train_network(photographs, chosen, out)
        write_detector_folder(network, photographs, chosen, out, name, version)
        (out / CHECKPOINT_FILE).unlink(missing_ok=True)
        typer.echo(f"wrote {out}")


def evaluate_detector(
    detector: Annotated[
        str, typer.Argument(metavar="DETECTOR", help="embedded, haar, yunet, or a folder of train-detector.")
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A .parquet as for train-detector, or a .txt or .json like WIDER FACE's."),
    ],
    detector_model: Annotated[Path | None, typer.Option(metavar="FILE", help="Model file of the detector.")] = None,
    longest_side: Annotated[
        int, typer.Option(min=32, metavar="PX", help="Pictures are reduced to it, never enlarged.")
    ] = (DetectorConfig.longest_side),
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the metrics there too, as JSON.")
    ] = None,
    card: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the detector's card there.")] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Figures written by --json to set beside, in the card.")
    ] = None,
) -> None:
    """Average precision, landmark error and false faces of a detector on labelled photographs."""
    with endings():
        from fer_batch.atomic import write_json
        from fer_batch.training.detector.card import detector_card, read_figures
        from fer_batch.training.detector.evaluate import evaluate_detector as measure
        from fer_batch.training.detector.evaluate import report
        from fer_batch.training.detector.folder import detector_config, detector_folder, held_out_part
        from fer_batch.training.detector.photographs import read_photographs

        config = detector_config(detector, detector_model, longest_side)
        photographs = read_photographs(data)
        if data.suffix == ".parquet":
            photographs = held_out_part(photographs)
        figures = {"data": data.name, **measure(config, photographs)}
        typer.echo(report(figures))
        if json_file is not None:
            write_json(json_file, figures)
        if card is not None:
            table = [figures, *(read_figures(file) for file in beside or ())]
            card.write_text(detector_card(detector_folder(config), table), encoding="utf-8")


def _set_up_backend() -> None:
    """Use the Keras backend that the user chose, by default TensorFlow, without its start-up messages."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
