"""Figures of merit against values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.training.emotion.metrics import confusion_matrix, expected_calibration_error, label_metrics, vote_metrics

FERPLUS = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "not_a_face"]


def votes_of(**counts: float) -> list[float]:
    """FER+'s ten counts, in FER+'s order."""
    assert set(counts) <= set(FERPLUS)
    return [counts.get(name, 0) for name in FERPLUS]


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "expected"),
    [
        ([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1], 10, (abs(1.8 - 1) + abs(1.2 - 2)) / 4),
        ([0.5, 0.5], [1, 0], 10, 0.0),
        ([0.70, 0.78], [1, 0], 10, abs(1.48 - 1) / 2),
        ([0.70, 0.78], [1, 0], 15, (0.3 + 0.78) / 2),
        ([1.0, 0.95], [1, 0], 15, abs(1.95 - 1) / 2),
        ([0.8], [0.6], 15, 0.2),
    ],
)
def test_calibration_error(confidence: list[float], correct: list[float], bins: int, expected: float) -> None:
    assert expected_calibration_error(np.array(confidence), np.array(correct), bins) == pytest.approx(expected)


def test_calibration_error_has_fifteen_bins() -> None:
    confidence, correct = np.array([0.70, 0.78]), np.array([1, 0])
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.54)


def test_confusion_matrix_has_labels_in_its_rows() -> None:
    matrix = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


@pytest.fixture
def probabilities(shares_of: Callable) -> NDArray[np.float64]:
    """Five faces; their labels are happy, happy, sad, angry, disgust."""
    return np.stack(
        [
            shares_of(happy=0.7, neutral=0.3),  # right
            shares_of(neutral=0.6, happy=0.4),  # wrong, the second guess is right
            shares_of(happy=0.5, neutral=0.3, sad=0.2),  # wrong, the third guess is right
            shares_of(disgust=0.5, angry=0.3, fear=0.2),  # wrong in seven classes, right in six
            shares_of(fear=0.4, angry=0.35, disgust=0.25),  # wrong in seven classes, right in six
        ]
    )


LABELS = np.array([EMOTIONS.index(name) for name in ("happy", "happy", "sad", "angry", "disgust")])


def test_label_metrics_equal_those_worked_out_by_hand(probabilities: NDArray[np.float64]) -> None:
    metrics = label_metrics(probabilities, LABELS, EMOTIONS)
    assert metrics["accuracy"] == pytest.approx(1 / 5)
    assert metrics["top2_accuracy"] == pytest.approx(3 / 5)  # angry is the second guess of the fourth, too
    assert metrics["six_class_accuracy"] == pytest.approx(3 / 5)
    assert metrics["nll"] == pytest.approx(-(log(0.7) + log(0.4) + log(0.2) + log(0.3) + log(0.25)) / 5)
    # Bins of 1/15: 0.7, 0.6, two at 0.5 and 0.4 lie in four of them.
    assert metrics["ece"] == pytest.approx((0.3 + 0.6 + 1.0 + 0.4) / 5)
    assert metrics["per_class"]["happy"] == {"recall": 0.5, "precision": 0.5, "f1": 0.5, "n": 2}
    assert metrics["per_class"]["sad"] == {"recall": 0.0, "precision": 0.0, "f1": 0.0, "n": 1}
    assert metrics["per_class"]["neutral"]["n"] == 0
    assert metrics["macro_f1"] == pytest.approx(0.5 / 7)
    assert list(metrics["per_class"]) == list(EMOTIONS)
    matrix = np.array(metrics["confusion_matrix"])
    assert matrix.sum() == 5
    assert matrix[3].tolist() == [0, 0, 0, 1, 0, 0, 1]


def test_recall_and_precision_differ_as_they_should(shares_of: Callable) -> None:
    """Two happy faces, one called happy; three called sad, one of them sad."""
    rows = np.stack([shares_of(happy=1.0), *[shares_of(sad=1.0)] * 3])
    labels = np.array([EMOTIONS.index(name) for name in ("happy", "happy", "sad", "fear")])
    per_class = label_metrics(rows, labels, EMOTIONS)["per_class"]
    assert per_class["happy"] == pytest.approx({"recall": 1 / 2, "precision": 1.0, "f1": 2 / 3, "n": 2})
    assert per_class["sad"] == pytest.approx({"recall": 1.0, "precision": 1 / 3, "f1": 1 / 2, "n": 1})


def test_a_model_of_six_classes(shares_of: Callable) -> None:
    rows = np.stack([shares_of(EMOTIONS_MERGED, angry=0.6, happy=0.4), shares_of(EMOTIONS_MERGED, angry=1.0)])
    metrics = label_metrics(rows, np.array([0, 2]), EMOTIONS_MERGED)
    assert metrics["accuracy"] == metrics["six_class_accuracy"] == 0.5
    assert list(metrics["per_class"]) == list(EMOTIONS_MERGED)


def test_nll_of_a_certain_wrong_prediction_is_finite(shares_of: Callable) -> None:
    nll = label_metrics(shares_of(happy=1.0)[None], np.array([0]), EMOTIONS)["nll"]
    assert 20 < nll < 40


def test_vote_metrics_equal_those_worked_out_by_hand(shares_of: Callable) -> None:
    votes = np.array(
        [
            votes_of(happy=10),  # clear, agreed
            votes_of(happy=6, neutral=4),  # clear, not agreed
            votes_of(happy=5, neutral=5),  # five of ten are no clear majority
            votes_of(contempt=7, sad=3),  # the majority is for none of the seven
            votes_of(unknown=10),  # no vote for an emotion: left out
            [np.nan] * 10,  # no votes: left out
        ],
        np.float32,
    )
    rows = np.stack(
        [
            shares_of(happy=0.5, neutral=0.5),
            shares_of(happy=0.4, neutral=0.6),
            shares_of(happy=0.25, neutral=0.75),
            shares_of(sad=0.8, neutral=0.2),
            shares_of(fear=1.0),
            shares_of(fear=1.0),
        ]
    )
    metrics = vote_metrics(rows, votes, EMOTIONS)
    assert metrics is not None
    assert (metrics["n"], metrics["n_majority"]) == (4, 2)
    assert metrics["majority_accuracy"] == 0.5
    divergences = [
        log(1 / 0.5),
        0.6 * log(0.6 / 0.4) + 0.4 * log(0.4 / 0.6),
        0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75),
        log(1 / 0.8),
    ]
    assert metrics["kl"] == pytest.approx(sum(divergences) / 4, rel=1e-5)
    # Confidence against the share that agrees, one row a bin: 0.5/1, 0.6/0.4, 0.75/0.5, 0.8/1.
    assert metrics["ece"] == pytest.approx((0.5 + 0.2 + 0.25 + 0.2) / 4, rel=1e-5)


def test_a_perfect_model_has_no_divergence(shares_of: Callable) -> None:
    votes = np.array([votes_of(happy=7, neutral=3), votes_of(fear=4, surprise=6)], np.float32)
    rows = np.stack([shares_of(happy=0.7, neutral=0.3), shares_of(fear=0.4, surprise=0.6)])
    metrics = vote_metrics(rows, votes, EMOTIONS)
    assert metrics is not None
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["ece"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["majority_accuracy"] == 1.0


def test_votes_for_disgust_count_as_angry_in_six_classes(shares_of: Callable) -> None:
    votes = np.array([votes_of(angry=3, disgust=3, neutral=4)], np.float32)
    six = vote_metrics(shares_of(EMOTIONS_MERGED, angry=0.6, neutral=0.4)[None], votes, EMOTIONS_MERGED)
    assert six is not None
    assert (six["n_majority"], six["majority_accuracy"]) == (1, 1.0)
    assert six["kl"] == pytest.approx(0.0, abs=1e-6)
    seven = vote_metrics(shares_of(angry=0.6, neutral=0.4)[None], votes, EMOTIONS)
    assert seven is not None
    assert (seven["n_majority"], seven["majority_accuracy"]) == (0, None)


def test_without_votes_there_are_no_vote_metrics(shares_of: Callable) -> None:
    votes = np.full((2, 10), np.nan, np.float32)
    assert vote_metrics(np.stack([shares_of(happy=1.0)] * 2), votes, EMOTIONS) is None
