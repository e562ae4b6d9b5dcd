"""What a network is to answer, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_batch.emotions import EMOTIONS
from fer_batch.errors import DatasetError
from fer_batch.training.emotion.dataset import FERPLUS_COLUMNS, Faces
from fer_batch.training.emotion.recipe import Recipe
from fer_batch.training.emotion.targets import available_heads, expected_labels, plain_targets, training_targets

BOTH = Recipe(heads=("fer2013", "ferplus"), label_smoothing=0.2)
HAPPY, SAD, NEUTRAL, ANGRY, DISGUST = (EMOTIONS.index(n) for n in ("happy", "sad", "neutral", "angry", "disgust"))


@pytest.fixture
def faces() -> Faces:
    """A happy face that eight of ten call happy and two neutral; a sad one on which two of four say contempt; one
    without votes; one on which nobody sees an emotion."""
    votes = np.full((4, 10), np.nan, np.float32)
    votes[[0, 1, 3]] = 0
    votes[0, FERPLUS_COLUMNS[HAPPY]], votes[0, FERPLUS_COLUMNS[NEUTRAL]] = 8, 2
    votes[1, FERPLUS_COLUMNS[SAD]], votes[1, 7] = 2, 2
    votes[3, 9] = 10
    labels = np.array([HAPPY, SAD, ANGRY, DISGUST])
    return Faces(np.zeros((4, 48, 48), np.uint8), labels, np.array(["Training"] * 4), votes)


def test_plain_targets(faces: Faces) -> None:
    targets = plain_targets(faces, BOTH)
    np.testing.assert_array_equal(targets["fer2013"], np.eye(7)[faces.labels])
    shares = targets["ferplus"]
    assert shares[0, HAPPY] == pytest.approx(0.8)
    assert shares[0, NEUTRAL] == pytest.approx(0.2)
    assert shares[1, SAD] == pytest.approx(0.5)  # Half of the annotators count, with half of the weight.
    assert shares.sum(axis=1) == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_six_classes(faces: Faces) -> None:
    targets = plain_targets(faces, replace(BOTH, merge_disgust=True))
    assert targets["fer2013"].shape == targets["ferplus"].shape == (4, 6)
    assert targets["fer2013"][3].tolist() == targets["fer2013"][2].tolist()


def test_only_the_wanted_heads_side_by_side(faces: Faces) -> None:
    assert training_targets(faces, BOTH).shape == (4, 14)
    votes = training_targets(faces, replace(BOTH, heads=("ferplus",)))
    np.testing.assert_array_equal(votes, plain_targets(faces, BOTH)["ferplus"])


def test_label_smoothing_follows_the_votes(faces: Faces) -> None:
    smoothed = training_targets(faces, BOTH)[:, :7]
    assert smoothed.sum(axis=1) == pytest.approx([1.0] * 4, rel=1e-5)
    assert (smoothed.argmax(axis=1) == faces.labels).all()
    assert smoothed[0, HAPPY] > 0.8 + 0.2 / 7  # The votes agree with the label.
    assert (smoothed[:, :] >= 0).all()
    plain = training_targets(faces, replace(BOTH, label_smoothing=0.0))[:, :7]
    np.testing.assert_array_equal(plain, np.eye(7, dtype=np.float32)[faces.labels])


def test_expected_labels_are_shares_times_confusions() -> None:
    """Two classes: a vote for the first stands for label 0 on three faces of four (one count each is added)."""
    shares = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0.5, 0.5]], np.float32)
    labels = np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1, 1]]
    # Votes for the first: labels 0 three times, 1 once and half; for the second: 1 once and half.
    first, second = np.array([3 + 1, 1.5 + 1]) / 6.5, np.array([0 + 1, 1.5 + 1]) / 3.5
    expected = expected_labels(shares, labels)
    np.testing.assert_allclose(expected[0], first, rtol=1e-5)
    np.testing.assert_allclose(expected[4], second, rtol=1e-5)
    np.testing.assert_allclose(expected[5], (first + second) / 2, rtol=1e-5)


def test_label_smoothing_without_votes_is_uniform(faces: Faces) -> None:
    faces.votes[:] = np.nan
    smoothed = training_targets(faces, replace(BOTH, heads=("fer2013",)))
    assert smoothed[0, HAPPY] == pytest.approx(0.8 + 0.2 / 7)
    assert smoothed[0, SAD] == pytest.approx(0.2 / 7)


def test_available_heads(faces: Faces) -> None:
    assert available_heads(faces, ()) == ("fer2013", "ferplus")
    assert available_heads(faces, ("ferplus",)) == ("ferplus",)
    faces.votes[:] = np.nan
    assert available_heads(faces, ()) == ("fer2013",)
    with pytest.raises(DatasetError, match=r"head ferplus needs faces with FER\+'s votes"):
        available_heads(faces, ("ferplus",))
