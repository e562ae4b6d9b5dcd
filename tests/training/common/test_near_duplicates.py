"""Copies of a face among others: exact and near ones are found, other faces are not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.training.common.near_duplicates import has_copy, perceptual_hash

Images = NDArray[np.uint8]


def blobs(n: int, seed: int = 0) -> Images:
    """Smooth random pictures, uint8 (n, 48, 48), about as rich in detail as a face."""
    coarse = np.random.default_rng(seed).integers(40, 180, (n, 8, 8), dtype=np.uint8)
    return np.stack([cv2.resize(image, (48, 48), interpolation=cv2.INTER_CUBIC) for image in coarse])


def compressed(images: Images) -> Images:
    coded = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1] for image in images]
    return np.stack([cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) for data in coded])


def noisy(images: Images) -> Images:
    noise = np.random.default_rng(1).integers(-4, 5, images.shape)
    return np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images,
        lambda images: images + 20,
        lambda images: (images * 0.7).astype(np.uint8),
        compressed,
        noisy,
    ],
    ids=["exact", "brighter", "less contrast", "JPEG", "noise"],
)
def test_copies_are_found(change: Callable[[Images], Images]) -> None:
    images = blobs(20)
    assert has_copy(change(images), images).all()


@pytest.mark.parametrize(
    "change", [lambda images: images[:, :, ::-1], lambda images: 255 - images], ids=["mirrored", "negative"]
)
def test_pictures_that_differ_are_no_copies(change: Callable[[Images], Images]) -> None:
    images = blobs(20)
    assert not has_copy(change(images), images).any()


def test_unrelated_pictures_are_no_copies() -> None:
    assert not has_copy(blobs(100), blobs(100, seed=5)).any()


def test_close_hashes_alone_make_no_copy() -> None:
    """The pixels must correlate as well: same coarse shape, other details."""
    image = blobs(1)
    other = np.clip(image.astype(int) + np.random.default_rng(2).integers(-120, 121, image.shape), 0, 255)
    assert not has_copy(other.astype(np.uint8), image).any()


def test_the_right_rows_of_a_large_set() -> None:
    """The search goes by chunks of 512."""
    images = np.random.default_rng(0).integers(0, 256, (1100, 48, 48), dtype=np.uint8)
    copied = [0, 511, 512, 700, 1099]
    assert np.flatnonzero(has_copy(images, images[copied])).tolist() == copied


def test_copies_of_a_single_gray() -> None:
    """FER2013 has twelve all-black faces, one of them in PublicTest and eleven in Training."""
    black, white = np.zeros((1, 48, 48), np.uint8), np.full((1, 48, 48), 255, np.uint8)
    assert has_copy(black, black).tolist() == [True]
    assert has_copy(np.concatenate([white, black]), blobs(3)).tolist() == [False, False]


@pytest.mark.parametrize(("n", "among"), [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_look_for_or_in(n: int, among: int) -> None:
    found = has_copy(blobs(3)[:n], blobs(3)[:among])
    assert found.tolist() == [False] * n
    assert found.dtype == bool


def test_hash() -> None:
    images = blobs(50)
    hashes = perceptual_hash(images)
    assert (hashes.shape, hashes.dtype) == ((50,), np.uint64)
    assert len(set(hashes.tolist())) == 50
    np.testing.assert_array_equal(perceptual_hash(images[7:8]), hashes[7:8])
    assert int(hashes.max()) < 2**63  # 63 bits, about half of them set.
    assert 28 <= np.bitwise_count(hashes).mean() <= 35
