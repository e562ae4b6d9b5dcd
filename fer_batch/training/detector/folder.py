"""Make a detector's folder from a trained network, and find out what a folder was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fer_batch.config import DetectorConfig
from fer_batch.models.detector_folder import ONNX_FILE, DetectorModel, embedded_detector, write_detector
from fer_batch.models.folder import file_sha256
from fer_batch.training.dataset import DatasetError
from fer_batch.training.detector.evaluate import evaluate_detector
from fer_batch.training.detector.export import export_onnx
from fer_batch.training.detector.photographs import Photograph, split
from fer_batch.training.detector.recipe import RECIPE_FILE, DetectorRecipe, read_detector_recipe

if TYPE_CHECKING:
    import keras

#: Where false faces are too rare to choose a threshold by, this one is taken.
_LEAST_MIN_SCORE = 0.5


def write_detector_folder(
    network: keras.Model, photographs: list[Photograph], recipe: DetectorRecipe, out: Path, name: str, version: str
) -> None:
    """Write the ONNX file and config.json into `out`.

    The default threshold is the least one that leaves at most 1 false face on 100 held-out photographs without a face,
    searched at the default size, and not below 0.5.
    """
    export_onnx(network, out / ONNX_FILE)
    model = DetectorModel(name, version, _LEAST_MIN_SCORE, 1.0, 0.0, file_sha256(out / ONNX_FILE))
    write_detector(out, model)
    _, held_out = split(photographs, recipe.validation_sources)
    figures = evaluate_detector(detector_config(str(out)), [one for one in held_out if one.face_free])
    if figures["score_for_1_in_100"] is not None:
        least = max(_LEAST_MIN_SCORE, round(figures["score_for_1_in_100"] + 0.005, 2))
        write_detector(out, replace(model, min_score=least))


def detector_config(name: str, model_file: Path | None = None, longest_side: int | None = None) -> DetectorConfig:
    """The configuration of a detector named as for a run, or of a folder of `train-detector`; no face is too small."""
    file = None if model_file is None else str(model_file)
    if (Path(name) / ONNX_FILE).is_file():
        name, file = "embedded", str(Path(name) / ONNX_FILE)
    config = DetectorConfig(name, file, min_face=1)
    return config if longest_side is None else replace(config, longest_side=longest_side)


def detector_folder(config: DetectorConfig) -> Path:
    """The folder of a detector of ours. Raises DatasetError for another detector."""
    if config.name != "embedded":
        raise DatasetError(f"--card: {config.name} was not trained here and has no card")
    return embedded_detector() if config.model_file is None else Path(config.model_file).parent


def validation_part(config: DetectorConfig, photographs: list[Photograph], recipe: Path | None) -> list[Photograph]:
    """The photographs that a detector was not trained on, by the recipe given, its own, or the default one."""
    if recipe is None and config.name == "embedded":
        recipe = detector_folder(config) / RECIPE_FILE
    sources = (DetectorRecipe() if recipe is None else read_detector_recipe(recipe)).validation_sources
    return split(photographs, sources)[1]
