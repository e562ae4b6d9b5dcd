"""The recipe of a training run: everything that decides it, kept beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fer_batch.emotion.architectures import ARCHITECTURES, all_options, network_side
from fer_batch.emotion.model_folder import HEADS
from fer_batch.emotion.preprocessing import CROP_SIZE, PREPROCESSING
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import DatasetError
from fer_batch.training.emotion.augment import Augmentation

RECIPE_FILE = "recipe.json"
PRECISIONS = ("float32", "bfloat16")
OPTIMIZERS = ("sgd", "adamw")
#: Below it nothing is left of a face behind the poolings of the networks.
_LEAST_SIDE = 16


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run.

    Network: `architecture` with its `options`, `preprocessing`, `merge_disgust` (six classes), `heads` (see `HEADS`;
    none named: those that the data can answer), `mirror` (see `ModelConfig`), `start` (a model folder whose weights it
    begins with; none: random ones).

    Targets: `label_smoothing` is the share of FER2013's label that goes to what FER+'s votes for that face let one
    expect (to all classes alike where there are no votes); `mixup` the alpha of mixing pairs of faces (Zhang et al.
    2018; 0: none); `teachers` are model folders whose answers to the very same changed faces make up the share
    `distill` of the targets (Hinton et al. 2015; Beyer et al. 2022, "A good teacher is patient and consistent");
    several answer in turn, a batch each.

    Course: `sides` are the sizes, in pixels, at which faces are learnt in equal parts of the `epochs` (small ones first
    save time; Tan and Le 2021, "EfficientNetV2"; none named: the network's own side all along); `learning_rate` is the
    peak of a cosine schedule with linear warm-up; `weight_decay` is decoupled from the gradient and leaves biases and
    normalization alone; `ema` is the decay, a step, of the averaged weights that are kept; in the last `calm_epochs`
    faces are changed less and not mixed; `holdout` is the share of the training faces on which the temperatures are
    fitted; `precision` is one of `PRECISIONS`, `optimizer` of `OPTIMIZERS`.

    Chance: `split_seed` decides which faces are held out, `seed` all else. With a `start` or `teachers` the split has
    to be theirs, or faces that they have learnt from are taken for unseen ones.
    """

    architecture: str = "compact-resnet"
    options: dict[str, Any] = field(default_factory=dict)
    preprocessing: str = "standardize"
    merge_disgust: bool = False
    heads: tuple[str, ...] = ()
    mirror: bool = True
    start: str = ""
    label_smoothing: float = 0.3
    mixup: float = 0.0
    teachers: tuple[str, ...] = ()
    distill: float = 0.5
    epochs: int = 100
    sides: tuple[int, ...] = ()
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    warmup_epochs: float = 2.0
    weight_decay: float = 5e-3
    ema: float = 0.999
    calm_epochs: int = 0
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
        """How many numbers the network gives for a face: each head's classes."""
        return len(self.heads) * len(self.labels)

    def side(self, epoch: int) -> int:
        """Width and height, pixels, of the faces in an epoch, counted from 0."""
        sides = self.sides or (network_side(self.options),)
        return sides[epoch * len(sides) // self.epochs]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from JSON; fields left out keep their defaults. Raises DatasetError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["augmentation"] = Augmentation(**values.get("augmentation", {}))
        values |= {name: tuple(values[name]) for name in ("heads", "teachers", "sides") if name in values}
        return Recipe(**values)
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
        ("optimizer", OPTIMIZERS),
    ):
        if getattr(recipe, name) not in known:
            raise DatasetError(f"recipe: {name} {getattr(recipe, name)!r} is none of {', '.join(known)}")
    if strange := set(recipe.heads) - set(HEADS):
        raise DatasetError(f"recipe: head {', '.join(sorted(strange))} is none of {', '.join(HEADS)}")
    unknown = set(recipe.options) - set(all_options(recipe.architecture, {}))
    if unknown:
        raise DatasetError(f"recipe: {recipe.architecture} has no option {', '.join(sorted(unknown))}")
    for name in ("epochs", "batch_size"):
        if getattr(recipe, name) <= 0:
            raise DatasetError(f"recipe: {name} must be above 0, found {getattr(recipe, name)}")
    for name, sides in (("sides", recipe.sides), ("side", (recipe.options.get("side", CROP_SIZE),))):
        if wrong := [side for side in sides if not isinstance(side, int) or side < _LEAST_SIDE]:
            raise DatasetError(f"recipe: {name}: {wrong[0]!r} is no whole number from {_LEAST_SIDE} up")
    if not 0 < recipe.holdout < 1:
        raise DatasetError(f"recipe: holdout must lie between 0 and 1, found {recipe.holdout}")
