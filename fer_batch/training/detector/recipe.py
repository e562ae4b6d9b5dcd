"""The recipe of a detector's training run: everything that decides it, kept beside the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_batch.errors import DatasetError
from fer_batch.training.detector.views import Views

RECIPE_FILE = "recipe.json"
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class DetectorRecipe:
    """Everything that decides a training run. `options`: arguments of `face_network`; `start`: a folder of
    `train-detector`, or a detector's, whose weights it begins with, of the same network or a narrower one (none: random
    ones);
    `validation_sources`: held out whole, never trained on; `learning_rate`: the peak of a cosine schedule with linear
    warm-up; in the last `calm_epochs` views are degraded less often; `ema`: the decay of the averaged weights that are
    kept; `box_loss` and `landmark_loss`: weights beside the score's loss."""

    options: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    validation_sources: tuple[str, ...] = (
        "BIDS/BSDS500",
        "codewithminer/ImageCaptioning",
        "emanhamed/Houses-dataset",
        "princenarula222/People-Counting",
        "sonots/tutorial-haartraining",
        "VikramShenoy97/Human-Segmentation-Dataset",
    )
    epochs: int = 80
    batch_size: int = 16
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    calm_epochs: int = 0
    weight_decay: float = 1e-3
    box_loss: float = 2.0
    landmark_loss: float = 2.0
    ema: float = 0.999
    precision: str = "bfloat16"
    seed: int = 0
    views: Views = field(default_factory=Views)


def read_detector_recipe(path: Path) -> DetectorRecipe:
    """Read a recipe from JSON; fields left out keep their defaults. Raises DatasetError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        views = Views(**_with_tuples(values.pop("views", {})))
        return DetectorRecipe(**_with_tuples(values), views=views)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: cannot be read as a detector's recipe ({error})") from error


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def check_detector_recipe(recipe: DetectorRecipe) -> None:
    """Raise DatasetError, naming the field, for values that make no sense."""
    for part, defaults in ((recipe, DetectorRecipe()), (recipe.views, Views())):
        for name, default in vars(defaults).items():
            kind = type(default)
            if not isinstance(getattr(part, name), (int, float) if kind is float else kind):
                raise DatasetError(f"recipe: {name} is {getattr(part, name)!r}; it must be of type {kind.__name__}")
    if recipe.precision not in PRECISIONS:
        raise DatasetError(f"recipe: precision {recipe.precision!r} is none of {', '.join(PRECISIONS)}")
    if recipe.views.side < 128 or recipe.views.side % 64:
        raise DatasetError(f"recipe: side is {recipe.views.side}; it must be a multiple of 64, from 128 up")
    if recipe.epochs < 1 or recipe.batch_size < 1:
        raise DatasetError("recipe: epochs and batch_size must be at least 1")
