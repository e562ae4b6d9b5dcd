"""The recipe of a training run: everything that determines it, kept beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fer_batch.emotion.architectures import ARCHITECTURES, all_options
from fer_batch.emotion.model_folder import HEADS, STORED_OPTIONS, renamed
from fer_batch.emotion.preprocessing import CROP_SIZE, PREPROCESSING
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import DatasetError
from fer_batch.training.common.recipe_checks import PRECISIONS, check_choice, check_positive, check_types
from fer_batch.training.emotion.augment import Augmentation

RECIPE_FILE = "recipe.json"
OPTIMIZERS = ("sgd", "adamw")
#: With smaller inputs nothing is left after the poolings of the networks.
_MIN_SIDE = 16
#: Names that recipes of version 0.1.0 have for some fields; they are still read.
OLD_NAMES = {
    "flip_averaging": "mirror",
    "distillation_weight": "distill",
    "weak_augmentation_epochs": "calm_epochs",
}


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a training run.

    Attributes:
        architecture: A key of `ARCHITECTURES`.
        options: The architecture's arguments.
        preprocessing: A key of `PREPROCESSING`.
        merge_disgust: Train six classes, with disgust counted as angry.
        heads: Of `HEADS`; none named: those that the data has targets for.
        flip_averaging: Average the logits over a face and its horizontal flip in inference (TTA).
        start: A model folder whose weights initialize the network; none: random ones.
        label_smoothing: The share of FER2013's label that is spread over the classes as FER+'s votes for that face
            predict it (uniformly where there are no votes).
        mixup: Alpha of mixup (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"); 0: none.
        teachers: Model folders to distill, whose predictions for the same augmented faces become part of the targets
            (Hinton et al. 2015; Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent").
            Several take turns, a batch each. Their `split_seed` must be this recipe's, and so must that of `start`, or
            faces that they were trained on count as held out.
        distillation_weight: The share of the targets that comes from the teachers.
        epochs: Epochs in all.
        batch_size: Faces per batch.
        optimizer: Of `OPTIMIZERS`.
        learning_rate: The peak of a cosine schedule with linear warm-up.
        warmup_epochs: Length of the warm-up.
        weight_decay: Decoupled from the gradient; biases and normalization are exempt.
        ema: Decay, per step, of the moving average of the weights, which is what is kept.
        weak_augmentation_epochs: The last epochs, with weaker augmentation and without mixup.
        holdout: The share of the training faces on which the temperatures are fitted.
        precision: Of `PRECISIONS`.
        seed: Of everything random but the split.
        split_seed: Of the choice of the faces that are held out.
        augmentation: How training faces are augmented.
    """

    architecture: str = "compact-resnet"
    options: dict[str, Any] = field(default_factory=dict)
    preprocessing: str = "standardize"
    merge_disgust: bool = False
    heads: tuple[str, ...] = ()
    flip_averaging: bool = True
    start: str = ""
    label_smoothing: float = 0.3
    mixup: float = 0.0
    teachers: tuple[str, ...] = ()
    distillation_weight: float = 0.5
    epochs: int = 100
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    warmup_epochs: float = 2.0
    weight_decay: float = 5e-3
    ema: float = 0.999
    weak_augmentation_epochs: int = 0
    holdout: float = 0.05
    precision: str = "bfloat16"
    seed: int = 0
    split_seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the outputs."""
        return EMOTIONS_MERGED if self.merge_disgust else EMOTIONS

    @property
    def outputs(self) -> int:
        """Number of logits per face: the classes of each head."""
        return len(self.heads) * len(self.labels)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from JSON; fields left out keep their defaults. Raises DatasetError."""
    try:
        values = renamed(json.loads(path.read_text(encoding="utf-8")), OLD_NAMES)
        if values.pop("sides", None):  # Recipes of version 0.1.0 hold an empty one.
            raise ValueError("`sides`, training with several input sizes, is no longer supported")
        values["options"] = renamed(values.get("options", {}), STORED_OPTIONS)
        values["augmentation"] = Augmentation(**values.get("augmentation", {}))
        values |= {name: tuple(values[name]) for name in ("heads", "teachers") if name in values}
        return Recipe(**values)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: cannot be read as a recipe ({error})") from error


def with_overrides(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with those of `overrides` that are not None."""
    return replace(recipe, **{key: value for key, value in overrides.items() if value is not None})


def check_recipe(recipe: Recipe) -> None:
    """Raise DatasetError, naming the field, for values that make no sense."""
    check_types(recipe, Recipe())
    check_choice("architecture", recipe.architecture, ARCHITECTURES)
    check_choice("preprocessing", recipe.preprocessing, PREPROCESSING)
    check_choice("precision", recipe.precision, PRECISIONS)
    check_choice("optimizer", recipe.optimizer, OPTIMIZERS)
    if unknown := set(recipe.heads) - set(HEADS):
        raise DatasetError(f"recipe: head {', '.join(sorted(unknown))} is none of {', '.join(HEADS)}")
    if unknown := set(recipe.options) - set(all_options(recipe.architecture, {})):
        raise DatasetError(f"recipe: {recipe.architecture} has no option {', '.join(sorted(unknown))}")
    check_positive("epochs", recipe.epochs)
    check_positive("batch_size", recipe.batch_size)
    side = recipe.options.get("side", CROP_SIZE)
    if not isinstance(side, int) or side < _MIN_SIDE:
        raise DatasetError(f"recipe: side: {side!r} is no whole number from {_MIN_SIDE} up")
    if not 0 < recipe.holdout < 1:
        raise DatasetError(f"recipe: holdout must lie between 0 and 1, found {recipe.holdout}")
