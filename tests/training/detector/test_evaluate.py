"""Average precision and the other figures, on cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.errors import DatasetError
from fer_batch.records import Detection
from fer_batch.training.detector import evaluate as e
from fer_batch.training.detector.matching import Matches, average_precision, match
from fer_batch.training.detector.photographs import Photograph
from tests.helpers.clips import SAMPLES

A, B, FAR = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 10.0, 10.0), (60.0, 60.0, 10.0, 10.0)
SHIFTED = (1.0, 0.0, 10.0, 10.0)


def matched(
    found: list[tuple[tuple[float, ...], float]], truth: list[tuple[float, ...]], sure: list[bool] | None = None
) -> Matches:
    boxes = np.array([box for box, _ in found]).reshape(-1, 4)
    scores = np.array([score for _, score in found])
    labels = np.array(truth).reshape(-1, 4)
    return match(boxes, scores, labels, np.array([True] * len(truth) if sure is None else sure, bool))


def test_a_face_is_found_once_by_its_best_detection() -> None:
    one = matched([(SHIFTED, 0.5), (A, 0.9), (FAR, 0.7)], [A, B])
    assert one.hits.tolist() == [False, True, False]
    assert one.counts.tolist() == [True, True, True]
    assert one.faces == 2


def test_an_unsure_face_counts_neither_way() -> None:
    one = matched([(A, 0.9), (B, 0.8)], [A, B], [False, True])
    assert one.hits.tolist() == [False, True]
    assert one.counts.tolist() == [False, True]
    assert one.faces == 1


def test_average_precision_by_hand() -> None:
    """Right, wrong, right of two faces: half of the recall at precision 1, half at 2/3."""
    pictures = [matched([(A, 0.9), (FAR, 0.8)], [A]), matched([(B, 0.7)], [B])]
    assert average_precision(pictures) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_average_precision_at_its_ends() -> None:
    assert average_precision([matched([(A, 0.5)], [A])]) == 1
    assert average_precision([matched([], [A])]) == 0
    assert average_precision([matched([(FAR, 0.5)], [A])]) == 0
    assert average_precision([matched([(A, 0.5)], [])]) is None


class _Fixed:
    """Finds what it is told, whatever the picture."""

    needs_colour = False

    def __init__(self, faces: list[Detection], min_score: float | None = 0.5) -> None:
        self._faces, self.min_score = faces, min_score

    def detect(self, picture: object, min_face: float) -> list[Detection]:
        return self._faces


def photograph(boxes: list[tuple[float, ...]], scores: list[float], face_free: bool = False) -> Photograph:
    content = SAMPLES / "photos" / "astronaut.jpg"
    landmarks = np.tile(np.array([[(2.0, 2.0)] * 5], np.float32), (len(boxes), 1, 1))
    labels = np.array(boxes, np.float32).reshape(-1, 4)
    drawn = np.array(scores) > 0.85
    return Photograph(
        "x", "a/b", content, face_free, labels, landmarks, np.array(scores, np.float32), True, False, drawn
    )


def test_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.tile(np.array((5, 6), np.float32), (5, 1))

    def create(config: DetectorConfig) -> _Fixed:
        faces = [Detection(*A, 0.9, points), Detection(*FAR, 0.3)]
        return _Fixed([face for face in faces if face.score >= (config.min_score or 0.0)])  # type: ignore[operator]

    monkeypatch.setattr(e, "create_detector", create)
    photographs = [photograph([A, B], [0.9, 0.8]), photograph([], [], face_free=True)]
    figures = e.evaluate_detector(DetectorConfig("yunet", min_score=0.5, min_face=1), photographs)
    assert (figures["photographs"], figures["faces"], figures["face_free"]) == (1, 2, 1)
    assert figures["average_precision"] == pytest.approx(0.5)
    assert figures["average_precision_from"]["8"] == pytest.approx(0.5)
    assert figures["average_precision_from"]["32"] is None
    assert figures["recall"] == 0.5
    assert figures["precision"] == 1
    assert figures["landmark_error"] == pytest.approx(0.5)
    assert figures["false_per_100"] == 100
    assert figures["drawn"]["faces"] == 1  # The other label, on the same picture, counts neither way.
    assert figures["drawn"]["average_precision"] == 1
    assert figures["drawn"]["recall_from_32"] is None
    assert figures["drawn"]["recall_by_size"]["8-16"] == {"faces": 1, "recall": 1.0}
    assert figures["by_source"]["a/b"]["recall"] == 0.5
    curve = {point["threshold"]: point["false_per_100"] for point in figures["curve"]}
    assert (curve[0.1], curve[0.3], curve[0.35], curve[0.8]) == (200, 200, 100, 100)
    assert "average precision          0.5000" in e.report(figures)


def test_the_threshold_leaves_one_false_face_in_a_hundred_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter(np.linspace(0.9, 0.1, 200).tolist())

    class Falling(_Fixed):
        def detect(self, picture: object, min_face: float) -> list[Detection]:
            return [Detection(*FAR, next(found))]

    monkeypatch.setattr(e, "create_detector", lambda config: Falling([]))
    without = [photograph([], []) for _ in range(200)]
    threshold = e.threshold_for_false_faces(DetectorConfig("yunet", min_face=1), without)
    assert threshold == pytest.approx(np.linspace(0.9, 0.1, 200)[1:3].mean())
    with pytest.raises(DatasetError, match="none_found"):
        e.threshold_for_false_faces(DetectorConfig("yunet"), [])


def test_a_detector_without_scores_or_landmarks() -> None:
    figures = e.evaluate_detector(DetectorConfig("haar", min_face=30), [photograph([(180, 64, 94, 94)], [0.9])])
    assert figures["average_precision"] > 0
    assert figures["landmark_error"] is None
    assert figures["false_per_100"] is None
    assert "landmark_error             -" in e.report(figures)


@pytest.mark.parametrize("follows", [True, False])
def test_head_angles_tell_a_detector_that_gives_every_face_the_same_landmarks(
    follows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    upright = np.array([(35, 40), (65, 40), (50, 58), (37, 70), (63, 70)], np.float32)
    rolls = np.linspace(-30, 30, 25)

    def tilted(degrees: float) -> NDArray[np.float32]:
        sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        turn = np.array([(cos, sin), (-sin, cos)], np.float32)
        return (upright - 50) @ turn + 50

    labelled = [photograph([(20, 20, 60, 60)], [0.9]) for _ in rolls]
    labelled = [replace(one, landmarks=tilted(roll)[None]) for one, roll in zip(labelled, rolls, strict=True)]
    rolls_in_turn = iter((rolls if follows else 0 * rolls).tolist())

    class Following(_Fixed):
        def detect(self, picture: object, min_face: float) -> list[Detection]:
            noise = np.random.default_rng(0).normal(0, 0.01, (5, 2))
            return [Detection(20, 20, 60, 60, 0.9, (tilted(next(rolls_in_turn)) + noise).astype(np.float32))]

    monkeypatch.setattr(e, "create_detector", lambda config: Following([]))
    figures = e.evaluate_detector(DetectorConfig("yunet", min_score=0.5, min_face=1), labelled)
    roll = figures["head_angles"]["roll"]
    assert (roll["error"] < 1, roll["correlation"] > 0.99) == (follows, follows)
    assert f"roll                       {roll['error']:.1f} degrees off" in e.report(figures)
