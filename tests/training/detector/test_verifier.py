"""The second stage's training: which candidates it learns from, that it learns, and how both stages are weighed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.detection import create_detector
from fer_batch.detection.builtin import RawDetections
from fer_batch.detection.model_folder import ONNX_FILE, VERIFIER_FILE, DetectorModel, read_detector, write_detector
from fer_batch.errors import DatasetError
from fer_batch.model_folder import file_sha256
from fer_batch.training.detector.candidates import KEPT_SIDE, Candidates, collect_candidates, whole_views
from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.recipe import DetectorRecipe, VerifierRecipe
from fer_batch.training.detector.views import View
from tests.helpers.models import make_face_network

pytest.importorskip("onnx", reason="the extra train is not installed")

RECIPE = DetectorRecipe(precision="float32", verifier=VerifierRecipe(steps=40, batch=32))


def finds(*boxes: tuple[float, ...]) -> Any:
    """A first stage that finds these boxes on any picture, with falling scores."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.3, len(array), dtype=np.float32)
    found = RawDetections(array, np.zeros((len(array), 5, 2), np.float32), scores)
    return SimpleNamespace(candidates=lambda picture, min_score: found)


def view(*boxes: tuple[float, ...], sure: int) -> View:
    """A view with these faces, of which the first ones are sure."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    landmarks = np.full((len(array), 5, 2), np.nan, np.float32)
    return View(np.zeros((200, 200, 3), np.uint8), array, landmarks, np.arange(len(array)) < sure)


def test_candidates_are_faces_or_something_else_and_what_nobody_is_sure_of_is_left_out() -> None:
    labels = view((10, 10, 40, 40), (100, 100, 40, 40), sure=1)
    face, half, unsure, inside_unsure, other = (
        (12, 10, 40, 40),
        (28, 10, 40, 40),  # Overlaps the face by 0.38.
        (100, 100, 40, 40),
        (115, 115, 10, 10),
        (150, 20, 30, 30),
    )
    found = collect_candidates([labels], finds(other, face, half, unsure, inside_unsure), 0)
    assert found.faces.tolist() == [True, False]
    assert found.scores == pytest.approx([0.75, 0.9])
    assert [crop.shape for crop in found.crops] == [(KEPT_SIDE, KEPT_SIDE, 3)] * 2
    assert found.squares().shape == (2, 48, 48, 3)


def test_a_first_stage_that_finds_no_face_is_named() -> None:
    with pytest.raises(DatasetError, match=r"finds 0 faces and 1 other things .* set verifier\.passes to 0"):
        collect_candidates([view(sure=0)], finds((0, 0, 20, 20)), 0)


def test_a_whole_view_is_the_photograph_with_its_boxes_at_that_size() -> None:
    content = cv2.imencode(".png", np.zeros((832, 416, 3), np.uint8))[1].tobytes()
    boxes = np.array([(100, 200, 50, 60)], np.float32)
    photograph = Photograph("a", "a", content, False, boxes, np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32))
    (whole,) = whole_views([photograph])
    assert whole.picture.shape == (416, 208, 3)
    assert whole.boxes.tolist() == [[50, 100, 25, 30]]


def learnable(count: int) -> Candidates:
    """Bright discs are faces, bright squares are not."""
    rng = np.random.default_rng(0)
    crops = rng.integers(40, 80, (count, KEPT_SIDE, KEPT_SIDE, 3), dtype=np.uint8)
    faces = np.arange(count) % 2 == 0
    for crop, face in zip(crops, faces, strict=True):
        if face:
            cv2.circle(crop, (32, 32), 16, (220, 100, 160), -1)
        else:
            cv2.rectangle(crop, (16, 16), (48, 48), (60, 160, 100), -1)
    return Candidates(list(crops), np.full(count, 0.5, np.float32), faces)


@pytest.mark.slow
def test_training_tells_faces_from_other_things() -> None:
    from fer_batch.training.detector.verifier import train_verifier

    candidates = learnable(60)
    network = train_verifier(candidates, RECIPE)
    logits = np.asarray(network(candidates.squares().astype(np.float32), training=False))[:, 0]
    assert logits[candidates.faces].mean() > logits[~candidates.faces].mean() + 0.5


def test_the_weights_of_both_stages_are_those_of_a_logistic_regression() -> None:
    from fer_batch.training.detector.verifier import fit_score_weights

    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1.5, (2, 20_000))
    faces = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * first + 1.2 * second - 1)))
    found = fit_score_weights(1 / (1 + np.exp(-first)), second, faces)
    assert found == pytest.approx((0.5, 1.2, -1), abs=0.08)


@pytest.mark.slow
def test_a_detectors_folder_gets_a_verifier_and_its_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_batch.training.detector import folder as module

    make_face_network(tmp_path / ONNX_FILE)
    write_detector(tmp_path, DetectorModel("tiny", "1", 0.5, 1.0, 0.0, file_sha256(tmp_path / ONNX_FILE)))
    content = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    none: Any = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    training = Photograph("a", "a", content, False, *none)
    held_out = replace(training, source="b", held_out=True, none_found=True)
    seen = []

    def collected(views: Any, detector: Any, seed: int) -> Candidates:
        seen.append(detector)
        return learnable(40)

    monkeypatch.setattr(module, "collect_candidates", collected)
    threshold = module.add_verifier(tmp_path, [training, held_out], replace(RECIPE, verifier=VerifierRecipe(1, 5, 16)))
    model = read_detector(tmp_path)
    assert model.min_score == threshold
    assert model.verifier_sha256 == file_sha256(tmp_path / VERIFIER_FILE)
    assert model.score_weights != (1.0, 0.0, 0.0)
    assert len(seen) == 2
    create_detector(module.detector_config(str(tmp_path)))


def crops_of(value: int) -> NDArray[np.uint8]:
    return np.full((8, 48, 48, 3), value, np.uint8)


def test_other_light_keeps_gray_crops_gray() -> None:
    from fer_batch.training.detector import verifier

    rng = np.random.default_rng(0)
    changed = np.concatenate([verifier._in_other_light(crops_of(100), rng) for _ in range(20)])
    gray = (changed[..., 1:] == 128).all(axis=(1, 2, 3))
    assert 0 < gray.mean() < 0.3
    assert changed[..., 0].std() > 5
