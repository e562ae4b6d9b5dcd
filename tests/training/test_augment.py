"""Random changes stay in their ranges and come again with the same seed."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.training.augment import Augmentation, augment

NONE = {field.name: 0.0 for field in fields(Augmentation)}


def changed(images: NDArray[np.uint8], seed: int = 0, **ranges: float) -> NDArray[np.uint8]:
    return augment(images, Augmentation(**(NONE | ranges)), np.random.default_rng(seed))


def dots(n: int = 64) -> NDArray[np.uint8]:
    """Two bright dots on one row, 20 pixels apart and centred, in each of n black pictures."""
    images = np.zeros((n, 48, 48), np.uint8)
    for column in (13, 14, 33, 34):
        images[:, 23:25, column] = 255
    return images


def centres(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The brightness-weighted centres of the left and right halves, (n, 2, 2) as x, y."""
    found = []
    for image in images.astype(float):
        for start in (0, 24):
            half = image[:, start : start + 24]
            y, x = np.mgrid[:48, start : start + 24]
            found.append([(half * x).sum() / half.sum(), (half * y).sum() / half.sum()])
    return np.array(found).reshape(-1, 2, 2)


def test_no_range_no_change(crops: NDArray[np.uint8]) -> None:
    before = crops.copy()
    np.testing.assert_array_equal(changed(crops), crops)
    np.testing.assert_array_equal(crops, before)


def test_always_mirrored(crops: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(changed(crops, flip=1.0), crops[:, :, ::-1])


def test_mirrored_half_of_the_time() -> None:
    images = np.tile(np.arange(48, dtype=np.uint8), (400, 48, 1))
    mirrored = changed(images, flip=0.5)[:, 0, 0] == 47
    assert 160 < mirrored.sum() < 240


def test_shift() -> None:
    moved = centres(changed(dots(), shift=0.1)).mean(axis=1) - centres(dots()).mean(axis=1)
    assert 3.5 < np.abs(moved).max() <= 0.1 * 48 + 0.1
    assert (moved.max(axis=0) > 3).all()
    assert (moved.min(axis=0) < -3).all()


def test_rotation() -> None:
    points = centres(changed(dots(), rotation=15.0))
    across = points[:, 1] - points[:, 0]
    angles = np.degrees(np.arctan2(across[:, 1], across[:, 0]))
    assert 12 < angles.max() <= 15.5
    assert -15.5 <= angles.min() < -12
    np.testing.assert_allclose(points.mean(axis=1), 23.5, atol=0.2)


def test_scale() -> None:
    points = centres(changed(dots(), scale=0.2))
    size = (points[:, 1, 0] - points[:, 0, 0]) / 20
    assert 1.15 < size.max() <= 1.21
    assert 1 / 1.21 <= size.min() < 0.87
    np.testing.assert_allclose(points.mean(axis=1), 23.5, atol=0.2)


def test_what_moves_in_repeats_the_edge() -> None:
    white = np.full((32, 48, 48), 255, np.uint8)
    np.testing.assert_array_equal(changed(white, rotation=30.0, shift=0.3, scale=0.3, flip=0.5), white)


def test_same_seed_same_pictures(crops: NDArray[np.uint8]) -> None:
    first = augment(crops, Augmentation(), np.random.default_rng(3))
    np.testing.assert_array_equal(augment(crops, Augmentation(), np.random.default_rng(3)), first)
    assert (augment(crops, Augmentation(), np.random.default_rng(4)) != first).any()
    assert (first.shape, first.dtype) == (crops.shape, np.uint8)


@pytest.mark.parametrize("n", [0, 1])
def test_few(n: int) -> None:
    assert augment(np.zeros((n, 48, 48), np.uint8), Augmentation(), np.random.default_rng(0)).shape == (n, 48, 48)
