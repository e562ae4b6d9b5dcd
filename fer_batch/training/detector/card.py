"""A detector's card, written from its config, its recipe and measured figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fer_batch.detection.base import CropRule
from fer_batch.detection.model_folder import ONNX_FILE, read_detector
from fer_batch.errors import DatasetError
from fer_batch.model_folder import INT8_FILE
from fer_batch.training.detector.recipe import RECIPE_FILE, read_detector_recipe

_FRAME = """# {name}, version {version}

Finds faces in gray pictures: box, score and five landmarks (eyes, nose, corners of the mouth). A fully convolutional
network in the output layout of OpenCV's FaceDetectorYN; see docs/models/detector.md of the project.

{files}
- Input: {input}. Threshold: {min_score} by default, set on held-out photographs without a face.
- Crop for the classifier: square, {crop_scale} times the longer side of the box, moved down by {crop_shift_y} heights,
  turned upright where the head leans by {upright_from:.0f} degrees or more.
- Trained from scratch by `fer-batch train-detector`{training}.

## Figures

Written by `fer-batch evaluate-detector --card`. Average precision (AP) is at an overlap of 0.5, over all faces and over
those from 16 pixels up in the searched picture. Recall, precision, landmark error (median, in box widths) and false
faces on 100 photographs without a face are at each detector's own threshold.

| detector | data | longest side | faces | AP | AP from 16 px | recall | precision | landmark error | false per 100 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

Head angles, against those of the labels' landmarks, on found faces from 24 pixels up; the labels are YuNet's, so this
says how far two detectors agree: median error in degrees, and correlation.

| detector | data | longest side | yaw | pitch | roll |
| --- | --- | --- | --- | --- | --- |
{angles}

## Limits

Turned-away, covered, dark and very small faces are missed, and now and then something else is taken for a face. The
photographs it learnt from are not balanced by age, skin colour or culture, and how errors differ between groups of
people has not been measured. It finds faces; it recognizes nobody.
"""


def detector_card(folder: Path, figures: Sequence[dict[str, Any]]) -> str:
    """The card of a detector's folder as Markdown; `figures`: of `evaluate_detector`, with the name of the `data`."""
    model = read_detector(folder)
    training = ""
    if (folder / RECIPE_FILE).is_file():
        recipe = read_detector_recipe(folder / RECIPE_FILE)
        held_out = ", ".join(recipe.validation_sources)
        training = f", {recipe.epochs} epochs (`{RECIPE_FILE}`), without the sources {held_out}"
    files = [_file("Network", folder / ONNX_FILE, model.onnx_sha256)]
    if model.int8_sha256 is not None:
        files.append(_file("In 8 bits, as runs and the figures below have it", folder / INT8_FILE, model.int8_sha256))
    rows = "\n".join(_row(one) for one in figures)
    angles = "\n".join(_angles_row(one) for one in figures if one["head_angles"])
    rule = CropRule(model.crop_scale, model.crop_shift_y)
    return _FRAME.format(
        files="\n".join(files),
        training=training,
        rows=rows,
        angles=angles,
        upright_from=rule.upright_from,
        **vars(model),
    )


def _file(name: str, path: Path, sha256: str) -> str:
    return f"- {name}: `{path.name}`, {round(path.stat().st_size / 1000)} kB, sha256 `{sha256}`."


def read_figures(path: Path) -> dict[str, Any]:
    """Figures that `evaluate-detector --json` wrote. Raises DatasetError."""
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _row(figures)
        _angles_row(figures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: cannot be read as figures of evaluate-detector ({error})") from error
    return figures


def _row(figures: dict[str, Any]) -> str:
    measured = [figures["average_precision"], figures["average_precision_from"]["16"]]
    measured += [figures[key] for key in ("recall", "precision", "landmark_error")]
    cells = ["-" if value is None else f"{value:.3f}" for value in measured]
    false = figures["false_per_100"]
    cells.append("-" if false is None else f"{false:.1f}")
    return f"| {figures['detector']} | {figures['data']} | {figures['longest_side']} | {figures['faces']} | " + (
        " | ".join(cells) + " |"
    )


def _angles_row(figures: dict[str, Any]) -> str:
    angles = figures["head_angles"] or {}
    cells = [f"{one['error']:.1f}, {one['correlation']:.2f}" for one in (angles[name] for name in angles)]
    return f"| {figures['detector']} | {figures['data']} | {figures['longest_side']} | " + " | ".join(cells) + " |"
