"""Random changes stay in their ranges and come again with the same seed."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.training.emotion.augment import Augmentation, augment

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


def test_augmentation_without_ranges_changes_nothing(crops: NDArray[np.uint8]) -> None:
    before = crops.copy()
    np.testing.assert_array_equal(changed(crops), crops)
    np.testing.assert_array_equal(crops, before)


def test_flip_of_probability_1_flips_every_image(crops: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(changed(crops, flip=1.0), crops[:, :, ::-1])


def test_flip_of_probability_half_flips_half_of_the_images() -> None:
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


def test_borders_are_replicated() -> None:
    white = np.full((32, 48, 48), 255, np.uint8)
    np.testing.assert_array_equal(changed(white, rotation=30.0, shift=0.3, scale=0.3, flip=0.5), white)


def test_the_same_seed_gives_the_same_images(crops: NDArray[np.uint8]) -> None:
    first = augment(crops, Augmentation(), np.random.default_rng(3))
    np.testing.assert_array_equal(augment(crops, Augmentation(), np.random.default_rng(3)), first)
    assert (augment(crops, Augmentation(), np.random.default_rng(4)) != first).any()
    assert (first.shape, first.dtype) == (crops.shape, np.uint8)


@pytest.mark.parametrize("n", [0, 1])
def test_few(n: int) -> None:
    assert augment(np.zeros((n, 48, 48), np.uint8), Augmentation(), np.random.default_rng(0)).shape == (n, 48, 48)


def test_stretch_keeps_the_area() -> None:
    across = centres(changed(dots(), stretch=0.2))
    upright = centres(changed(dots().transpose(0, 2, 1), stretch=0.2).transpose(0, 2, 1))
    wide = (across[:, 1, 0] - across[:, 0, 0]) / 20
    tall = (upright[:, 1, 0] - upright[:, 0, 0]) / 20
    assert 1.05 < wide.max() <= np.sqrt(1.2) + 0.02
    np.testing.assert_allclose(wide * tall, 1.0, atol=0.03)  # The same seed stretches both alike.


@pytest.fixture
def faces() -> NDArray[np.uint8]:
    """Sixty-four smooth pictures that no two places of are alike, with room for brighter and darker."""
    y, x = np.mgrid[:48, :48]
    waves = [np.sin(x / (2 + n % 5)) + np.cos(y / (3 + n % 7)) for n in range(64)]
    return (128 + 40 * np.stack(waves)).astype(np.uint8)


def sharpness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.abs(np.diff(images.astype(float), axis=2)).mean(axis=(1, 2))


DAMAGE = ["gamma", "low_resolution", "blur", "compression", "noise", "erasing"]


@pytest.mark.parametrize("name", DAMAGE)
def test_degradations_have_their_probability(faces: NDArray[np.uint8], name: str) -> None:
    touched = (changed(faces, **{name: 1.0}) != faces).any(axis=(1, 2))
    assert touched.mean() > 0.9
    some = (changed(np.tile(faces, (4, 1, 1)), **{name: 0.3}) != np.tile(faces, (4, 1, 1))).any(axis=(1, 2))
    assert 0.2 < some.mean() < 0.4


@pytest.mark.parametrize("name", [name for name in DAMAGE if name != "erasing"])
def test_degraded_images_stay_recognizable(faces: NDArray[np.uint8], name: str) -> None:
    for before, after in zip(faces, changed(faces, **{name: 1.0}), strict=True):
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.5


def test_low_resolution_and_blur_lose_detail(crops: NDArray[np.uint8]) -> None:
    """On noise, of which neither leaves much."""
    for name in ("low_resolution", "blur"):
        assert (sharpness(changed(crops, **{name: 1.0})) < 0.9 * sharpness(crops)).mean() > 0.7


def test_erasing_covers_a_rectangle_with_one_gray(faces: NDArray[np.uint8]) -> None:
    for before, after in zip(faces, changed(faces, erasing=1.0), strict=True):
        rows, columns = np.nonzero(before != after)
        patch = after[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert len(np.unique(patch)) == 1
        assert 0.01 < patch.size / after.size < 0.25


def test_gamma_keeps_the_order_of_brightness(faces: NDArray[np.uint8]) -> None:
    for before, after in zip(faces, changed(faces, gamma=1.0), strict=True):
        order = np.argsort(before.ravel(), kind="stable")
        assert (np.diff(after.ravel()[order].astype(int)) >= 0).all()


def test_scaled_scales_all_but_flips() -> None:
    weak = Augmentation(rotation=10, erasing=0.4, flip=0.5, noise=0.2).scaled(0.5)
    assert (weak.rotation, weak.erasing, weak.noise, weak.flip) == (5, 0.2, 0.1, 0.5)
