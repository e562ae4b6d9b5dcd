"""A detector's card, written from its config, its recipe and measured figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fer_batch.detection.base import CropRule
from fer_batch.detection.model_folder import ONNX_FILE, VERIFIER_FILE, read_detector
from fer_batch.errors import DatasetError
from fer_batch.model_folder import INT8_FILE
from fer_batch.training.detector.recipe import RECIPE_FILE, DetectorRecipe, read_detector_recipe

_TEXT = """# {name}, version {version}

Finds faces: box, score and five landmarks (eyes, nose, corners of the mouth). A fully convolutional network, and a
verifier for what it finds, both trained from scratch by `fer-batch train-detector`{training}.

{files}
- Input: Y, U, V as 0..255. Default threshold: {min_score}. With it at most {false_per_100:g} things are taken for a
  face on 100 held-out photographs in which a teacher detector found none. In videos a face below it, down to three
  quarters of it, counts where a track leads to it.
- Crop for the classifier: square, {crop_scale} times the longer side of the box, moved down by {crop_shift_y} heights,
  turned upright where the head leans by {upright_from:.0f} degrees or more.

## Figures

On photographs of sources that were held out whole, or in part, written by `fer-batch evaluate-detector --card`. Average
precision (AP) is at an overlap of 0.5. *Drawn* are the boxes that people drew; the others are YuNet's, so that there
YuNet itself is the measure. Recall, precision, landmark error (median, in box widths), the share of found faces turned
aside by more than 30 degrees, and false faces on 100 photographs without a face, none of which chose the threshold, are
at each detector's own threshold.

{overall}

Recall of drawn boxes by size in the searched picture (mean of width and height, pixels):

{sizes}

Recall of drawn boxes against false faces, by threshold; the first detector above:

{curve}

AP and recall by source:

{sources}

Head angles, against those of the labels' landmarks, on found faces from 24 pixels up: median error in degrees, and
correlation. Most of these landmarks are YuNet's, so this says how far two detectors agree.

{angles}

## Limits

{limits}
"""

_LIMITS = """Very small, turned-away, covered and dark faces are missed, and now and then something else is taken for
a face. Drawn and printed faces are faces to it. The photographs it learnt from are not balanced by age, skin colour or
culture. Recall by apparent skin tone, sex and age has not been measured: no data set at hand has such labels together
with boxes. It finds faces; it recognizes nobody."""


def detector_card(folder: Path, figures: Sequence[dict[str, Any]]) -> str:
    """The card of a detector's folder as Markdown.

    Args:
        folder: The detector's folder.
        figures: Those of `evaluate_detector` for each detector and size, with the name of the `data`.
    """
    model = read_detector(folder)
    training, false_per_100 = "", DetectorRecipe.false_per_100
    if (folder / RECIPE_FILE).is_file():
        recipe = read_detector_recipe(folder / RECIPE_FILE)
        false_per_100 = recipe.false_per_100
        training = f" ({recipe.epochs * recipe.steps} steps, `{RECIPE_FILE}`)"
    files = [_file("Network", folder / ONNX_FILE, model.onnx_sha256)]
    if model.int8_sha256 is not None:
        files.append(_file("In INT8, as runs and the figures below use it", folder / INT8_FILE, model.int8_sha256))
    if model.verifier_sha256 is not None:
        files.append(_file("Verifier, in INT8", folder / VERIFIER_FILE, model.verifier_sha256))
    rule = CropRule(model.crop_scale, model.crop_shift_y)
    return _TEXT.format(
        files="\n".join(files),
        training=training,
        false_per_100=false_per_100,
        overall=_overall_table(figures),
        sizes=_size_table(figures),
        curve=_curve_table(figures[0]),
        sources=_source_table(figures),
        angles=_angle_table(figures),
        limits=_LIMITS,
        upright_from=rule.upright_from,
        **vars(model),
    )


def read_figures(path: Path) -> dict[str, Any]:
    """Figures that `evaluate-detector --json` wrote. Raises DatasetError."""
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for table in (_overall_table, _size_table, _source_table, _angle_table):
            table([figures])
        _curve_table(figures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: cannot be read as figures of evaluate-detector ({error})") from error
    return figures


def _file(name: str, path: Path, sha256: str) -> str:
    return f"- {name}: `{path.name}`, {round(path.stat().st_size / 1000)} kB, sha256 `{sha256}`."


def _overall_table(figures: Sequence[dict[str, Any]]) -> str:
    head = ["faces", "AP", "AP from 16 px", "drawn", "AP, drawn", "recall from 32 px, drawn", "precision"]
    head += ["landmark error", "turned", "false per 100"]
    rows = []
    for figure in figures:
        drawn = figure["drawn"]
        values = [figure["average_precision"], figure["average_precision_from"]["16"]]
        after = [drawn["average_precision"], drawn["recall_from_32"], figure["precision"], figure["landmark_error"]]
        cells = [str(figure["faces"]), *map(_share, values), str(drawn["faces"]), *map(_share, after)]
        cells += [
            _share(figure["turned"]),
            "-" if figure["false_per_100"] is None else f"{figure['false_per_100']:.1f}",
        ]
        rows.append([*_leading(figure), *cells])
    return _table([*_LEADING, *head], rows)


def _size_table(figures: Sequence[dict[str, Any]]) -> str:
    sizes = list(figures[0]["drawn"]["recall_by_size"])
    rows = [
        [*_leading(figure), *(_share(figure["drawn"]["recall_by_size"][size]["recall"]) for size in sizes)]
        for figure in figures
    ]
    return _table([*_LEADING, *(size.replace("-inf", " and more") for size in sizes)], rows)


def _curve_table(figure: dict[str, Any]) -> str:
    rows = [
        [f"{point['threshold']:.2f}", _share(point["recall_from_16"]), _share(point["recall_from_32"]), false]
        for point in figure["curve"]
        for false in ["-" if point["false_per_100"] is None else f"{point['false_per_100']:.1f}"]
    ]
    return _table(["threshold", "recall from 16 px", "recall from 32 px", "false per 100"], rows)


def _source_table(figures: Sequence[dict[str, Any]]) -> str:
    sources = list(figures[0]["by_source"])
    rows = [
        [*_leading(figure), *(_pair(figure["by_source"].get(source, {})) for source in sources)] for figure in figures
    ]
    faces = [f"{source} ({figures[0]['by_source'][source]['faces']})" for source in sources]
    return _table([*_LEADING, *faces], rows)


def _angle_table(figures: Sequence[dict[str, Any]]) -> str:
    rows = [
        [*_leading(figure), *(f"{angle['error']:.1f}, {angle['correlation']:.2f}" for angle in angles.values())]
        for figure in figures
        if (angles := figure["head_angles"])
    ]
    return _table([*_LEADING, "yaw", "pitch", "roll"], rows)


_LEADING = ("detector", "longest side")


def _leading(figure: dict[str, Any]) -> list[str]:
    return [str(figure["detector"]), str(figure["longest_side"])]


def _pair(part: dict[str, Any]) -> str:
    return f"{_share(part.get('average_precision'))}, {_share(part.get('recall'))}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = list(head)
    lines = [cells, ["---"] * len(cells), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
