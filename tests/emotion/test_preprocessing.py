"""What a crop goes through before the network."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotion.preprocessing import PREPROCESSING, preprocessing, standardize, unit_range


def halves(low: int, high: int) -> NDArray[np.uint8]:
    """One crop, left half `low`, right half `high`."""
    crop = np.full((1, 48, 48), low, np.uint8)
    crop[..., 24:] = high
    return crop


@pytest.mark.parametrize("name", ["standardize", "unit_range"])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_shape_and_type(name: str, n: int) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (n, 48, 48), dtype=np.uint8)
    before = crops.copy()
    after = PREPROCESSING[name](crops)
    assert after.shape == (n, 48, 48, 1)
    assert after.dtype == np.float32
    np.testing.assert_array_equal(crops, before)


def test_the_names_in_a_config() -> None:
    assert {"standardize": standardize, "unit_range": unit_range} == PREPROCESSING


@pytest.mark.parametrize(("side", "n"), [(54, 3), (48, 3), (32, 3), (54, 0)])
def test_a_network_sees_faces_of_its_own_size(side: int, n: int, crops: NDArray[np.uint8]) -> None:
    """A ramp stays one, end to end; only its steps change."""
    ramp = np.broadcast_to(np.linspace(0, 240, 48).round().astype(np.uint8), (n, 48, 48))
    seen = preprocessing("unit_range", side)(ramp)
    assert (seen.shape, seen.dtype) == ((n, side, side, 1), np.float32)
    centres = (np.arange(side) + 0.5) * 48 / side - 0.5
    expected = np.broadcast_to(np.interp(centres, np.arange(48), np.linspace(0, 240, 48)) / 255, (n, side, side))
    np.testing.assert_allclose(seen[..., 0], expected, atol=0.01)
    standardized = preprocessing("standardize", side)(crops[: max(1, n)])
    np.testing.assert_allclose(standardized.std(axis=(1, 2, 3)), 1.0, atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (100, 110), (16, 235)])
def test_standardize(low: int, high: int) -> None:
    result = standardize(halves(low, high))[0, ..., 0]
    np.testing.assert_allclose(result[:, :24], -1.0, atol=1e-5)
    np.testing.assert_allclose(result[:, 24:], 1.0, atol=1e-5)


def test_standardize_goes_by_the_crop_not_by_the_batch(crops: NDArray[np.uint8]) -> None:
    result = standardize(crops)
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), 0.0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(1, 2, 3)), 1.0, atol=1e-5)
    np.testing.assert_array_equal(result[3], standardize(crops[3:4])[0])


def test_the_limited_range_of_video_drops_out(crops: NDArray[np.uint8]) -> None:
    limited = np.round(16 + crops * (219 / 255)).astype(np.uint8)
    np.testing.assert_allclose(standardize(limited), standardize(crops), atol=0.01)


@pytest.mark.parametrize("gray", [0, 1, 127, 255])
def test_a_single_gray_becomes_zeros(gray: int) -> None:
    assert not standardize(np.full((2, 48, 48), gray, np.uint8)).any()


def test_unit_range() -> None:
    crops = np.zeros((1, 48, 48), np.uint8)
    crops[0, 1, 2], crops[0, 0, 0] = 255, 51
    result = unit_range(crops)
    assert (result[0, 1, 2, 0], result.sum()) == (1.0, pytest.approx(1.2))
    assert result[0, 0, 0, 0] == pytest.approx(0.2)
