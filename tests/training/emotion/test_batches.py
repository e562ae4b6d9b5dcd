"""Which faces train, in which batches, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS_MERGED
from fer_batch.errors import DatasetError
from fer_batch.training.common.near_duplicates import has_copy
from fer_batch.training.emotion.augment import Augmentation
from fer_batch.training.emotion.batches import batches, mixup, training_split
from fer_batch.training.emotion.dataset import Faces
from fer_batch.training.emotion.recipe import Recipe
from tests.helpers.labelled_faces import labelled

UNCHANGED = Augmentation(rotation=0, shift=0, scale=0, flip=0)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(epochs=2, batch_size=8, holdout=0.1)


# The split.


def test_split_sizes_and_seed(recipe: Recipe, faces: Faces) -> None:
    rest, held_out = training_split(faces, recipe)
    assert (len(rest), len(held_out)) == (32, 4)
    assert set(rest.usages) == set(held_out.usages) == {"Training"}
    again, _ = training_split(faces, recipe)
    np.testing.assert_array_equal(again.images, rest.images)
    again, _ = training_split(faces, replace(recipe, seed=1))
    np.testing.assert_array_equal(again.images, rest.images)
    other, _ = training_split(faces, replace(recipe, split_seed=1))
    assert (other.images != rest.images).any()


def brighter(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (images // 2 + 60).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_no_copy_crosses_a_split(recipe: Recipe, seed: int) -> None:
    """Of 40 faces, 10 have a copy in another split and 10 have one among themselves."""
    images = np.random.default_rng(seed).integers(0, 256, (40, 48, 48), dtype=np.uint8)
    everything = np.concatenate([images, brighter(images[20:30]), images[:5], brighter(images[5:10])])
    usages = ["Training"] * 50 + ["PublicTest"] * 5 + ["PrivateTest"] * 5
    faces = labelled(everything, usages)
    rest, held_out = training_split(faces, replace(recipe, split_seed=seed, holdout=0.3))
    others = everything[50:]
    assert not has_copy(rest.images, others).any()
    assert not has_copy(held_out.images, others).any()
    assert not has_copy(rest.images, held_out.images).any()
    assert len(held_out) == 12  # 30 % of the 40 rows of Training that have no copy elsewhere.
    assert 18 <= len(rest) < 28


@pytest.mark.parametrize("holdout", [0.0, 0.01])
def test_at_least_one_face_is_held_out(recipe: Recipe, faces: Faces, holdout: float) -> None:
    _, held_out = training_split(faces, replace(recipe, holdout=holdout))
    assert len(held_out) == 1


def test_a_split_of_near_duplicates_only_is_refused(recipe: Recipe, faces: Faces) -> None:
    images = np.concatenate([faces.images[:9], faces.images[:9]])
    with pytest.raises(DatasetError, match="0 faces to train on"):
        training_split(labelled(images, ["Training"] * 9 + ["PublicTest"] * 9), recipe)


# Batches.


def test_batches_are_the_same_for_the_same_epoch_only(recipe: Recipe, faces: Faces) -> None:
    recipe = replace(recipe, heads=("fer2013",))
    first = list(batches(faces, recipe, 0))
    again = list(batches(faces, recipe, 0))
    other = list(batches(faces, recipe, 1))
    assert [crops.shape for crops, _ in first] == [(8, 48, 48)] * 5
    assert all(np.array_equal(a, b) for a, b in zip(first[3], again[3], strict=True))
    assert (first[0][0] != other[0][0]).any()
    assert any((a != b).any() for (_, a), (_, b) in zip(first, other, strict=True))  # Another order, too.


def test_batches_go_through_every_face_once(recipe: Recipe, faces: Faces) -> None:
    plain = replace(recipe, heads=("fer2013",), augmentation=UNCHANGED)
    images, targets = (np.concatenate(parts) for parts in zip(*batches(faces, plain, 0), strict=True))
    rows = [next(row for row in range(40) if (faces.images[row] == image).all()) for image in images]
    assert sorted(rows) == list(range(40))
    assert rows != sorted(rows)
    assert targets.argmax(axis=1).tolist() == faces.labels[rows].tolist()
    assert targets.shape == (40, 7)


def test_six_classes_count_disgust_as_angry(recipe: Recipe, faces: Faces) -> None:
    merged = replace(recipe, heads=("fer2013",), merge_disgust=True, label_smoothing=0.0)
    assert merged.labels == EMOTIONS_MERGED
    targets = np.concatenate([targets for _, targets in batches(faces, merged, 0)])
    # Labels 0 and 1 (angry, disgust) stand for 12 of the 40 faces.
    assert targets.sum(axis=0).tolist() == [12, 6, 6, 6, 5, 5]


# Mixing, and weak augmentation.


def test_mixed_faces_have_mixed_targets() -> None:
    """Two faces, black and white: the brightness tells the share."""
    images = np.repeat(np.array([0, 255], np.uint8), 50)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    targets = np.eye(2, dtype=np.float32)[np.repeat([0, 1], 50)]
    crops, shares = mixup(images, targets, 0.8, np.random.default_rng(0))
    np.testing.assert_allclose(crops[:, 0, 0] / 255, shares[:, 1], atol=0.01)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert (shares[np.arange(100), targets.argmax(axis=1)] >= 0.5).all()  # The face itself stays the larger part.
    assert 10 < ((shares > 0.05) & (shares < 0.95)).any(axis=1).sum() < 90


def test_alpha_0_mixes_nothing(crops: NDArray[np.uint8]) -> None:
    targets = np.eye(11, dtype=np.float32)
    images, same = mixup(crops, targets, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(images, crops)
    np.testing.assert_array_equal(same, targets)


def test_the_last_epochs_have_weak_augmentation_and_no_mixup(recipe: Recipe, faces: Faces) -> None:
    """Shifted by half the width before, by hardly more than a tenth of it in the last epoch; not mixed there."""
    black = replace(faces, images=np.zeros_like(faces.images))
    black.images[:, :, 24] = 255
    strong = replace(UNCHANGED, shift=0.4)
    recipe = replace(recipe, heads=("fer2013",), mixup=1.0, weak_augmentation_epochs=1, augmentation=strong)
    columns = []
    for epoch in (0, 1):
        images = np.concatenate([crops for crops, _ in batches(black, recipe, epoch)])
        columns.append(np.abs(images.max(axis=1).argmax(axis=1) - 24).max())
    assert columns[0] > 0.3 * 48
    assert 0 < columns[1] <= np.ceil(0.4 * 0.3 * 48)
