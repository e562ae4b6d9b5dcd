"""Make a detector's folder from a trained network, and find out what a folder was trained on."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.builtin import whole_cells
from fer_batch.detection.model_folder import ONNX_FILE, DetectorModel, embedded_detector, read_detector, write_detector
from fer_batch.detection.search import reduced
from fer_batch.errors import DatasetError
from fer_batch.model_folder import INT8_FILE, file_sha256
from fer_batch.onnx.export import check_onnx
from fer_batch.onnx.quantization import quantize
from fer_batch.training.detector.evaluate import evaluate_detector
from fer_batch.training.detector.export import export_onnx
from fer_batch.training.detector.photographs import Photograph, split
from fer_batch.training.detector.recipe import RECIPE_FILE, DetectorRecipe, read_detector_recipe

if TYPE_CHECKING:
    import keras

#: Where false faces are too rare to choose a threshold by, this one is taken.
_LEAST_MIN_SCORE = 0.5
#: So many photographs tell the ranges of activations.
_FOR_RANGES = 200


def write_detector_folder(
    network: keras.Model, photographs: list[Photograph], recipe: DetectorRecipe, out: Path, name: str, version: str
) -> None:
    """Write the network as ONNX, in float32 and in 8 bits, and config.json into `out`."""
    export_onnx(network, out / ONNX_FILE)
    write_detector(out, DetectorModel(name, version, _LEAST_MIN_SCORE, 1.0, 0.0, file_sha256(out / ONNX_FILE)))
    quantize_detector(out, photographs, recipe)


def quantize_detector(folder: Path, photographs: list[Photograph], recipe: DetectorRecipe) -> float:
    """Write the folder's network in 8 bits, with ranges from photographs that it was trained on, and choose its default
    threshold, which is returned: the least one that leaves at most 1 false face on 100 held-out photographs without a
    face, searched at the default size, and not below 0.5.

    Until the file is there whole, the folder is one without it. Raises ModelFolderError for a folder that can't be
    used, DatasetError without photographs to train on, UsageError without the package onnx.
    """
    check_onnx()
    model = replace(read_detector(folder), int8_sha256=None)
    training, held_out = split(photographs, recipe.validation_sources)
    if not training:
        raise DatasetError("all photographs are held out; name fewer `validation_sources` in the recipe")
    write_detector(folder, model)
    drawn = random.Random(recipe.seed).sample(training, min(_FOR_RANGES, len(training)))
    quantize(folder / ONNX_FILE, folder / INT8_FILE, map(_as_searched, drawn))
    model = replace(model, int8_sha256=file_sha256(folder / INT8_FILE))
    write_detector(folder, model)
    figures = evaluate_detector(detector_config(str(folder)), [one for one in held_out if one.face_free])
    least = figures["score_for_1_in_100"]
    threshold = _LEAST_MIN_SCORE if least is None else max(_LEAST_MIN_SCORE, round(least + 0.005, 2))
    write_detector(folder, replace(model, min_score=threshold))
    return threshold


def _as_searched(photograph: Photograph) -> NDArray[np.float32]:
    """A photograph as a run gives it to the network, at the default size."""
    gray = reduced(photograph.gray(), DetectorConfig().longest_side)
    return whole_cells(gray)[None, None].astype(np.float32)


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
