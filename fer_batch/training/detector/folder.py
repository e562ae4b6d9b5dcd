"""Make a detector's folder from a trained network, and find out what a folder was trained on."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.builtin import EmbeddedDetector, as_yuv, network_input
from fer_batch.detection.model_folder import (
    ONNX_FILE,
    VERIFIER_FILE,
    DetectorModel,
    embedded_detector,
    read_detector,
    write_detector,
)
from fer_batch.detection.network import plain_network
from fer_batch.detection.search import reduced
from fer_batch.detection.verifier import Verifier
from fer_batch.errors import DatasetError
from fer_batch.model_folder import INT8_FILE, file_sha256
from fer_batch.onnx.export import check_onnx
from fer_batch.onnx.quantization import all_levels, quantize, take_levels
from fer_batch.training.detector.candidates import collect_candidates, training_views, whole_views
from fer_batch.training.detector.evaluate import threshold_for_false_faces
from fer_batch.training.detector.export import export_onnx
from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.recipe import DetectorRecipe

if TYPE_CHECKING:
    import keras

#: The threshold of a folder that has none yet.
_START_MIN_SCORE = 0.5
#: So many photographs give the ranges of activations.
_CALIBRATION_PHOTOGRAPHS = 300
#: The network's input for a picture of 32 pixels a side, its smallest.
_INPUT = network_input(np.zeros((1, 1, 3), np.uint8)).shape[1:]
#: So many candidates give those of the verifier.
_CALIBRATION_CANDIDATES = 1000


def write_detector_folder(
    network: keras.Model, photographs: list[Photograph], recipe: DetectorRecipe, out: Path, name: str, version: str
) -> None:
    """Write a trained network as ONNX, in float32 and quantized to INT8, its verifier, and config.json into `out`."""
    export_onnx(plain_network(network, **recipe.options), out / ONNX_FILE)
    write_detector(out, DetectorModel(name, version, _START_MIN_SCORE, 1.0, 0.0, file_sha256(out / ONNX_FILE)))
    quantize_detector(out, photographs, recipe)
    if recipe.verifier.passes:
        add_verifier(out, photographs, recipe)


def quantize_detector(folder: Path, photographs: list[Photograph], recipe: DetectorRecipe) -> float:
    """Write the folder's network in INT8, with ranges from photographs that it was trained on, and choose its default
    threshold.

    The threshold leaves at most the recipe's `false_per_100` on held-out photographs in which no face was found (role
    `none_found`) of the recipe's sources for it, searched at the default size. Photographs without a face (role
    `negative`) are not looked at: false faces are reported on them. Until the file is complete, the folder is one
    without it.

    Returns:
        The threshold.

    Raises:
        ModelFolderError: For a folder that can't be used.
        DatasetError: Without photographs to train on.
        UsageError: Without the package onnx.
    """
    check_onnx()
    model = replace(read_detector(folder), int8_sha256=None)
    training = [photograph for photograph in photographs if not photograph.held_out]
    if not training:
        raise DatasetError("all photographs are held out; none is left to calibrate with")
    write_detector(folder, model)
    drawn = random.Random(recipe.seed).sample(training, min(_CALIBRATION_PHOTOGRAPHS, len(training)))
    quantize(folder / ONNX_FILE, folder / INT8_FILE, chain([all_levels(*_INPUT)], map(_as_searched, drawn)))
    take_levels(folder / INT8_FILE)
    model = replace(model, int8_sha256=file_sha256(folder / INT8_FILE))
    write_detector(folder, model)
    return _choose_threshold(folder, photographs, recipe)


def add_verifier(folder: Path, photographs: list[Photograph], recipe: DetectorRecipe) -> float:
    """Train the folder's verifier on what its network finds, and choose the default threshold with it.

    How both stages make the score is fitted on the held-out photographs of the recipe's sources for the threshold.

    Returns:
        The threshold.

    Raises:
        ModelFolderError: For a folder that can't be used.
        DatasetError: Where the network finds no face on the photographs.
        UsageError: Without the package onnx.
    """
    from fer_batch.training.detector.verifier import export_verifier, fit_score_weights, train_verifier

    check_onnx()
    model = replace(read_detector(folder), verifier_sha256=None, score_weights=DetectorModel.score_weights)
    write_detector(folder, model)
    detector = EmbeddedDetector(detector_config(str(folder)))
    training = [photograph for photograph in photographs if not photograph.held_out]
    views = training_views(training, recipe.views, recipe.verifier.passes, recipe.seed)
    candidates = collect_candidates(views, detector, recipe.seed)
    drawn = np.random.default_rng(recipe.seed).integers(0, len(candidates.crops), _CALIBRATION_CANDIDATES)
    export_verifier(train_verifier(candidates, recipe), folder / VERIFIER_FILE, candidates.squares(drawn))
    seen = collect_candidates(whole_views(_threshold_part(photographs, recipe)), detector, recipe.seed)
    logits = Verifier(folder / VERIFIER_FILE, model.score_weights).logits(seen.squares())
    weights = fit_score_weights(seen.scores, logits, seen.faces)
    write_detector(folder, replace(model, verifier_sha256=file_sha256(folder / VERIFIER_FILE), score_weights=weights))
    return _choose_threshold(folder, photographs, recipe)


def _threshold_part(photographs: list[Photograph], recipe: DetectorRecipe) -> list[Photograph]:
    sources = recipe.threshold_sources or {photograph.source for photograph in photographs}
    return [photograph for photograph in photographs if photograph.held_out and photograph.source in sources]


def _choose_threshold(folder: Path, photographs: list[Photograph], recipe: DetectorRecipe) -> float:
    nobody = [photograph for photograph in _threshold_part(photographs, recipe) if photograph.none_found]
    threshold = round(threshold_for_false_faces(detector_config(str(folder)), nobody, recipe.false_per_100), 2)
    write_detector(folder, replace(read_detector(folder), min_score=threshold))
    return threshold


def _as_searched(photograph: Photograph) -> NDArray[np.float32]:
    """A photograph as a run gives it to the network, at the default size."""
    bgr = photograph.frame(needs_colour=True).bgr
    assert bgr is not None
    return network_input(as_yuv(reduced(bgr, DetectorConfig().longest_side))).astype(np.float32)


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


def held_out_part(photographs: list[Photograph]) -> list[Photograph]:
    """The photographs that no detector was trained on. Raises DatasetError without any."""
    held_out = [photograph for photograph in photographs if photograph.held_out]
    if not held_out:
        raise DatasetError("no photograph is held out; mark some by `held_out` in the column split")
    return held_out
