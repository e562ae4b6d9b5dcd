"""The list of expressions and the six-class merge."""

from __future__ import annotations

import numpy as np
import pytest

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED, NEGATIVE, merge_disgust


def test_order_is_that_of_fer2013() -> None:
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert EMOTIONS_MERGED == ("angry", "fear", "happy", "sad", "surprise", "neutral")
    assert NEGATIVE == ("angry", "disgust", "fear", "sad")


def test_disgust_joins_angry() -> None:
    probabilities = np.array([0.1, 0.2, 0.05, 0.3, 0.15, 0.12, 0.08])
    np.testing.assert_allclose(merge_disgust(probabilities), [0.3, 0.05, 0.3, 0.15, 0.12, 0.08])


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 7), (0, 7)])
def test_merge_keeps_sums_shape_and_input(shape: tuple[int, ...]) -> None:
    before = np.random.default_rng(0).random(shape, dtype=np.float32)
    kept = before.copy()
    merged = merge_disgust(before)
    assert merged.shape == (*shape[:-1], 6)
    assert merged.dtype == np.float32
    np.testing.assert_allclose(merged.sum(axis=-1), before.sum(axis=-1), rtol=1e-6)
    np.testing.assert_array_equal(before, kept)
