"""The recipe of a training run: everything that decides it, kept beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.models.architectures import ARCHITECTURES, all_options
from fer_batch.models.preprocessing import PREPROCESSING
from fer_batch.training.augment import Augmentation
from fer_batch.training.dataset import DatasetError

RECIPE_FILE = "recipe.json"
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run. `learning_rate` is the peak of a cosine schedule with linear warm-up;
    `ema` is the decay of the averaged weights that are kept; `holdout` is the share of the training faces
    on which the temperature is fitted; `precision` is one of `PRECISIONS`; `mirror`: see `ModelConfig`."""

    architecture: str = "classic-cnn"
    options: dict[str, Any] = field(default_factory=dict)
    preprocessing: str = "standardize"
    merge_disgust: bool = False
    epochs: int = 32
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    ema: float = 0.999
    holdout: float = 0.05
    precision: str = "bfloat16"
    mirror: bool = False
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the outputs."""
        return EMOTIONS_MERGED if self.merge_disgust else EMOTIONS


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from JSON; fields left out keep their defaults. Raises DatasetError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Recipe(**{**values, "augmentation": Augmentation(**values.get("augmentation", {}))})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: cannot be read as a recipe ({error})") from error


def with_overrides(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with those of `overrides` that are not None."""
    return replace(recipe, **{key: value for key, value in overrides.items() if value is not None})


def check_recipe(recipe: Recipe) -> None:
    """Raise DatasetError, naming the field, for values that make no sense."""
    for name, default in vars(Recipe()).items():
        kind = type(default)
        if not isinstance(getattr(recipe, name), (int, float) if kind is float else kind):
            raise DatasetError(f"recipe: {name} is {getattr(recipe, name)!r}; it must be of type {kind.__name__}")
    for name, known in (
        ("architecture", ARCHITECTURES),
        ("preprocessing", PREPROCESSING),
        ("precision", PRECISIONS),
    ):
        if getattr(recipe, name) not in known:
            raise DatasetError(f"recipe: {name} {getattr(recipe, name)!r} is none of {', '.join(known)}")
    unknown = set(recipe.options) - set(all_options(recipe.architecture, {}))
    if unknown:
        raise DatasetError(f"recipe: {recipe.architecture} has no option {', '.join(sorted(unknown))}")
    for name in ("epochs", "batch_size"):
        if getattr(recipe, name) <= 0:
            raise DatasetError(f"recipe: {name} must be above 0, found {getattr(recipe, name)}")
    if not 0 < recipe.holdout < 1:
        raise DatasetError(f"recipe: holdout must lie between 0 and 1, found {recipe.holdout}")
