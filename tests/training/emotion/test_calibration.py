"""Temperatures, and how well logits fit soft labels, against known answers."""

from __future__ import annotations

import numpy as np
import pytest

from fer_batch.training.emotion.calibration import (
    cross_entropy,
    fit_share_correction,
    fit_temperature,
    held_out_metrics,
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_fit_temperature_recovers_a_known_one(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 7))
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (likely.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    assert fit_temperature(logits * temperature, np.eye(7)[labels]) == pytest.approx(temperature, rel=0.03)
    assert fit_temperature(logits * temperature, likely) == pytest.approx(temperature, rel=0.001)


def test_fit_temperature_stays_in_its_range() -> None:
    logits = np.eye(7) * 5.0
    assert 0.1 <= fit_temperature(logits, np.eye(7)) < 0.2
    assert fit_temperature(logits, np.roll(np.eye(7), 1, axis=0)) == pytest.approx(10.0, rel=0.01)


def test_cross_entropy_weighs_rows_by_their_sum() -> None:
    logits = np.log([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]])
    truth = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.0]])
    expected = -(0.5 * np.log(0.5) + 0.5 * np.log(0.25) + 0.5 * np.log(0.2)) / 1.5
    assert cross_entropy(logits, truth) == pytest.approx(expected)


def test_held_out_metrics_leave_out_faces_without_a_target() -> None:
    logits = np.log([[0.5, 0.5, 0.7, 0.3], [0.9, 0.1, 0.4, 0.6]])
    truths = {
        "fer2013": np.array([[0, 1], [1, 0]], np.float32),
        "ferplus": np.array([[0, 0], [0.2, 0.8]], np.float32),
    }
    metrics = held_out_metrics(logits, truths)
    assert list(metrics) == ["fer2013_accuracy", "fer2013_nll", "ferplus_accuracy", "ferplus_nll"]
    assert metrics["fer2013_accuracy"] == 0.5
    assert metrics["ferplus_accuracy"] == 1.0
    assert metrics["ferplus_nll"] == pytest.approx(-0.2 * np.log(0.4) - 0.8 * np.log(0.6))


def test_fit_share_correction_recovers_a_known_exponent() -> None:
    """Faces on which the most named emotion is drawn from the sharpened shares; the prior is how often each is it."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(7), 20_000)
    sharp = shares**1.6 / (shares**1.6).sum(axis=1, keepdims=True)
    most_named = (sharp.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    truth = 0.6 * np.eye(7)[most_named] + 0.4 / 7
    correction = fit_share_correction(shares, truth)
    assert correction is not None
    assert correction.exponent == pytest.approx(1.6, rel=0.03)
    assert correction.prior == pytest.approx(np.bincount(most_named) / 20_000, abs=0.01)


def test_faces_on_which_annotators_disagree_give_no_share_correction() -> None:
    unclear = np.array([[0.5, 0.5, 0, 0, 0, 0, 0], [0.3, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]])
    assert fit_share_correction(np.full((3, 7), 1 / 7), unclear) is None
