"""The batches of a training: which faces, in what order, and how they are augmented."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fer_batch.errors import DatasetError
from fer_batch.training.common.near_duplicates import has_copy
from fer_batch.training.common.prefetch import prefetched
from fer_batch.training.emotion.augment import augment
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.recipe import Recipe
from fer_batch.training.emotion.targets import training_targets

#: Strength of weak augmentation, as a share of the recipe's.
_WEAK = 0.3


def training_split(faces: Faces, recipe: Recipe) -> tuple[Faces, Faces]:
    """Divide the `Training` rows.

    No face of either part has a near duplicate in another split, and none to train on has one among the held-out ones.

    Args:
        faces: All splits.
        recipe: Decides how many faces are held out, and which.

    Returns:
        The faces to train on and the held-out ones.

    Raises:
        DatasetError: Fewer faces than one batch are left to train on.
    """
    training = faces.split("Training")
    others = faces.take(faces.usages != "Training")
    training = training.take(~has_copy(training.images, others.images))
    rng = np.random.default_rng(recipe.split_seed)
    held = np.zeros(len(training), bool)
    held[rng.permutation(len(training))[: max(1, round(recipe.holdout * len(training)))]] = True
    held_out, rest = training.take(held), training.take(~held)
    rest = rest.take(~has_copy(rest.images, held_out.images))
    if len(rest) < recipe.batch_size:
        raise DatasetError(f"{len(rest)} faces to train on are fewer than one batch of {recipe.batch_size}")
    return rest, held_out


def batches(faces: Faces, recipe: Recipe, epoch: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """One epoch of shuffled, augmented batches; the same ones for the same recipe and epoch.

    Yields:
        Crops, uint8 (batch_size, 48, 48), and their targets, float32 (batch_size, heads x classes).
    """
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(faces))
    targets = training_targets(faces, recipe)
    weak = epoch >= recipe.epochs - recipe.weak_augmentation_epochs
    augmentation = recipe.augmentation.scaled(_WEAK) if weak else recipe.augmentation

    def prepare(batch: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        rng = np.random.default_rng([recipe.seed, epoch, batch])
        images = augment(faces.images[rows], augmentation, rng)
        return (images, targets[rows]) if weak else mixup(images, targets[rows], recipe.mixup, rng)

    # On a GPU a training step takes less time than preparing a batch in one thread.
    return prefetched(prepare, len(faces) // recipe.batch_size, threads=2)


def mixup(
    images: NDArray[np.uint8], targets: NDArray[np.float32], alpha: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Mix each face with another one of the batch, and their targets alike (Zhang et al. 2018, "mixup: Beyond Empirical
    Risk Minimization"). The face itself keeps the larger share. `alpha` 0: no mixing."""
    if alpha <= 0:
        return images, targets
    share = rng.beta(alpha, alpha, len(images)).astype(np.float32)
    share = np.maximum(share, 1 - share)[:, None]
    partner = rng.permutation(len(images))
    pixels = share[:, :, None] * images + (1 - share[:, :, None]) * images[partner]
    return pixels.round().astype(np.uint8), share * targets + (1 - share) * targets[partner]
