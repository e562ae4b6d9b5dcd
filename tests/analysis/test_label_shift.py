"""Corrected shares: synthetic faces of a known mix, and what the correction must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.analysis.label_shift import MIN_FACES, PosteriorHistogram, adjusted_shares
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.share_correction import ShareCorrection, read_correction

PRIOR = np.array([0.08, 0.02, 0.05, 0.3, 0.14, 0.11, 0.3])
PLAIN = ShareCorrection(1.0, tuple(PRIOR))
EXPONENT = 1.7


def synthetic_faces(mix: NDArray[np.float64], count: int, seed: int = 0) -> NDArray[np.float64]:
    """Calibrated posteriors, under `PRIOR`, of faces of this mix: each shows its emotion as a noisy point in space."""
    rng = np.random.default_rng(seed)
    emotions = rng.choice(len(mix), count, p=mix)
    places = np.eye(len(mix))[emotions] * 2.0 + rng.normal(size=(count, len(mix)))
    likelihoods = np.exp(-0.5 * ((places[:, None, :] - 2.0 * np.eye(len(mix))) ** 2).sum(axis=2))
    posteriors = likelihoods * PRIOR
    return posteriors / posteriors.sum(axis=1, keepdims=True)


def counted(posteriors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(posteriors.argmax(axis=1), minlength=len(EMOTIONS)) / len(posteriors)


def start_of_all(posteriors: NDArray[np.float64]) -> NDArray[np.float64]:
    return adjusted_shares(posteriors, np.array([0]), PLAIN)[0]


@pytest.mark.parametrize("seed", range(5))
def test_correction_halves_the_error_of_counting(seed: int) -> None:
    mix = np.random.default_rng(seed).dirichlet(np.ones(7))
    faces = synthetic_faces(mix, 5000, seed)
    assert np.abs(start_of_all(faces) - mix).mean() < 0.5 * np.abs(counted(faces) - mix).mean()
    assert np.abs(start_of_all(faces) - mix).max() < 0.04


def test_correction_keeps_the_mix_of_the_training_data() -> None:
    assert start_of_all(synthetic_faces(PRIOR, 20_000)) == pytest.approx(PRIOR, abs=0.01)


def test_exponent_turns_annotator_shares_into_posteriors() -> None:
    correction = ShareCorrection(EXPONENT, tuple(PRIOR))
    sure = synthetic_faces(PRIOR, 50)
    tables = sure ** (1 / EXPONENT)
    tables /= tables.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(correction.posteriors(tables.astype(np.float32)), sure, atol=1e-4)


def test_groups_of_different_sizes_do_not_influence_each_other() -> None:
    """Of many sizes, an empty first and first of too few faces among them."""
    lengths = [40, 0, MIN_FACES - 1, MIN_FACES, 5000, 70]
    faces = [
        synthetic_faces(np.random.default_rng(n).dirichlet(np.ones(7)), length, n) for n, length in enumerate(lengths)
    ]
    starts = np.cumsum([0, *lengths[:-1]])
    together = adjusted_shares(np.concatenate(faces), starts, PLAIN)
    assert np.isnan(together[:, 0]).tolist() == [False, True, True, False, False, False]
    for row, alone in enumerate(faces):
        if len(alone) >= MIN_FACES:
            assert together[row] == pytest.approx(start_of_all(alone), abs=1e-5)
            assert together[row].sum() == pytest.approx(1.0)


def test_histogram_gives_nearly_the_same_shares_in_any_order() -> None:
    faces = synthetic_faces(np.array([0.4, 0.1, 0.05, 0.05, 0.1, 0.2, 0.1]), 20_000)
    first, second = PosteriorHistogram(7), PosteriorHistogram(7)
    first.add(faces)
    for part in np.split(faces[::-1], 8):
        second.add(part)
    assert first.adjusted_shares(PLAIN)[0] == pytest.approx(start_of_all(faces), abs=2e-3)
    np.testing.assert_array_equal(first.adjusted_shares(PLAIN), second.adjusted_shares(PLAIN))


def test_fewer_faces_than_the_minimum_have_no_corrected_shares() -> None:
    histogram = PosteriorHistogram(7)
    assert np.isnan(histogram.adjusted_shares(PLAIN)).all()
    histogram.add(synthetic_faces(PRIOR, MIN_FACES - 1))
    assert np.isnan(histogram.adjusted_shares(PLAIN)).all()
    histogram.add(synthetic_faces(PRIOR, 1))
    assert histogram.adjusted_shares(PLAIN).sum() == pytest.approx(1.0)


def test_certain_faces_are_counted_without_correction() -> None:
    certain = np.repeat(np.eye(7), [10, 0, 0, 20, 0, 30, 40], axis=0)
    assert start_of_all(certain) == pytest.approx([0.1, 0, 0, 0.2, 0, 0.3, 0.4], abs=1e-6)


def test_correction_survives_merging_and_json() -> None:
    merged = PLAIN.merged()
    assert len(merged.prior) == len(EMOTIONS_MERGED)
    assert merged.prior[0] == pytest.approx(0.1)
    assert merged.merged() == merged
    assert read_correction(merged.to_json()) == merged
