"""The recipe of a detector's training run: everything that decides it, kept beside the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_batch.errors import DatasetError
from fer_batch.training.common.recipe_checks import PRECISIONS, check_choice, check_types
from fer_batch.training.detector.views import Views

RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class VerifierRecipe:
    """What decides the training of the verifier.

    Attributes:
        passes: How often each training photograph is searched for candidates; 0: the detector gets no verifier.
        steps: Batches.
        batch: Candidates of a batch, half of them faces.
        learning_rate: The peak.
        weight_decay: Of kernels.
    """

    passes: int = 1
    steps: int = 9_000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.03


@dataclass(frozen=True)
class DetectorRecipe:
    """Everything that decides a training run.

    Attributes:
        options: Arguments of `face_network`.
        start: A detector's folder whose network the run begins with; none: random weights.
        epochs: Epochs in all; the only field that may change while a run is under way.
        decay_epochs: The last epochs, in which the learning rate falls to 0 along a cosine.
        steps: Batches an epoch.
        sides: Sides of views in pixels, multiples of 64, with the share of batches that have each.
        pixels: Pixels of a batch; its views are as many as fit.
        learning_rate: The peak.
        warmup_steps: Steps in which the learning rate rises to its peak.
        weight_decay: Of kernels (AdamW).
        box_loss: Weight beside the score's loss.
        landmark_loss: Weight beside the score's loss.
        ema: The decay of the averaged weights that are kept.
        source_weights: How often photographs of a source are drawn; 1 where none is given.
        threshold_sources: Held-out sources whose photographs without a found face choose the default threshold; all,
            where none is named. Name those in which really nobody is.
        false_per_100: False faces on 100 of these photographs that the threshold may leave.
        precision: float32 or bfloat16.
        seed: Of weights and views.
        views: How views are drawn.
        verifier: How the second stage is trained.
    """

    options: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    epochs: int = 100
    decay_epochs: int = 30
    steps: int = 500
    sides: tuple[tuple[int, float], ...] = ((256, 0.45), (384, 0.4), (640, 0.15))
    pixels: int = 1_638_400
    learning_rate: float = 1e-3
    warmup_steps: int = 500
    weight_decay: float = 0.02
    box_loss: float = 2.0
    landmark_loss: float = 5.0
    ema: float = 0.9995
    source_weights: dict[str, float] = field(default_factory=dict)
    threshold_sources: tuple[str, ...] = ()
    false_per_100: float = 1.0
    precision: str = "bfloat16"
    seed: int = 0
    views: Views = field(default_factory=Views)
    verifier: VerifierRecipe = field(default_factory=VerifierRecipe)


def read_detector_recipe(path: Path) -> DetectorRecipe:
    """Read a recipe from JSON; fields left out keep their defaults. Raises DatasetError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        views = Views(**_with_tuples(values.pop("views", {})))
        verifier = VerifierRecipe(**values.pop("verifier", {}))
        return DetectorRecipe(**_with_tuples(values), views=views, verifier=verifier)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: cannot be read as a detector's recipe ({error})") from error


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _as_tuple(value) for key, value in values.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def check_detector_recipe(recipe: DetectorRecipe) -> None:
    """Raise DatasetError, naming the field, for values that make no sense."""
    check_types(recipe, DetectorRecipe())
    check_types(recipe.views, Views())
    check_types(recipe.verifier, VerifierRecipe())
    check_choice("precision", recipe.precision, PRECISIONS)
    if not recipe.sides or any(side < 128 or side % 64 or share <= 0 for side, share in recipe.sides):
        raise DatasetError(f"recipe: sides {recipe.sides}; each must be a multiple of 64, from 128 up, with a share")
    if min(recipe.epochs, recipe.steps) < 1 or recipe.pixels < max(side for side, _ in recipe.sides) ** 2:
        raise DatasetError("recipe: epochs and steps must be at least 1, and pixels as many as the largest view has")
