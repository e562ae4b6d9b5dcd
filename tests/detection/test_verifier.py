"""The second stage: what it cuts out, how both stages make a score, and what a run does with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.builtin import as_yuv
from fer_batch.detection.model_folder import ONNX_FILE, VERIFIER_FILE, DetectorModel, read_detector, write_detector
from fer_batch.detection.verifier import SIDE, Verifier, combined_scores, crops
from fer_batch.errors import UsageError
from fer_batch.model_folder import file_sha256
from tests.helpers.models import make_face_network

pytest.importorskip("onnx", reason="the extra train is not installed")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny first stage and a verifier with random weights, as files and, the verifier, as Keras has it."""
    import keras

    from fer_batch.detection.verifier import verifier_network
    from fer_batch.training.detector.verifier import export_verifier

    folder = tmp_path_factory.mktemp("networks")
    make_face_network(folder / ONNX_FILE)
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(4)
    verifier = verifier_network()
    verifier.set_weights([weight + rng.normal(0, 0.05, weight.shape) for weight in verifier.get_weights()])
    squares = rng.integers(0, 256, (100, SIDE, SIDE, 3), dtype=np.uint8)
    export_verifier(verifier, folder / VERIFIER_FILE, squares)
    return SimpleNamespace(folder=folder, verifier=verifier)


@pytest.fixture
def folder(networks: Any, tmp_path: Path) -> Path:
    for name in (ONNX_FILE, VERIFIER_FILE):
        (tmp_path / name).write_bytes((networks.folder / name).read_bytes())
    write_detector(tmp_path, DetectorModel("tiny", "1", 0.009, 1.0, 0.0, file_sha256(tmp_path / ONNX_FILE)))
    return tmp_path


def with_verifier(folder: Path, weights: tuple[float, float, float]) -> None:
    digest = file_sha256(folder / VERIFIER_FILE)
    write_detector(folder, replace(read_detector(folder), verifier_sha256=digest, score_weights=weights))


def config(folder: Path, **changes: Any) -> DetectorConfig:
    return DetectorConfig("embedded", str(folder / ONNX_FILE), **changes)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_file_gives_nearly_the_answers_of_the_network_on_both_mirror_images(networks: Any) -> None:
    squares = np.random.default_rng(2).integers(0, 256, (70, SIDE, SIDE, 3), dtype=np.uint8)
    found = Verifier(networks.folder / VERIFIER_FILE, (1.0, 1.0, 0.0)).logits(squares)
    images = [images.astype(np.float32) for images in (squares, squares[:, :, ::-1])]
    expected = np.mean([np.asarray(networks.verifier(image, training=False))[:, 0] for image in images], axis=0)
    assert np.ptp(expected) > 0.01
    assert np.abs(found - expected).mean() < 0.1 * np.ptp(expected)  # INT8 against float32.


def test_no_candidate_has_no_score(networks: Any) -> None:
    verifier = Verifier(networks.folder / VERIFIER_FILE, (1.0, 1.0, 0.0))
    assert verifier.scores(noise(40, 40), np.zeros((0, 4), np.float32), np.zeros(0, np.float32)).shape == (0,)


def test_both_logits_make_the_score() -> None:
    scores, logits = np.array([0.5, 0.5, 0.9]), np.array([0.0, 2.0, -1.0])
    found = combined_scores(scores, logits, (1.0, 0.5, 0.0))
    assert found == pytest.approx([0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-(np.log(9) - 0.5)))])
    assert combined_scores(np.array([0.0, 1.0]), np.zeros(2), (1.0, 1.0, 0.0)) == pytest.approx([0, 1], abs=1e-5)


def test_a_crop_has_its_box_in_the_middle_and_black_beyond_the_picture() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[..., 0], picture[..., 1:] = 50, 90
    picture[20:52, 40:64, 0] = 200
    inside, outside = crops(picture, np.array([[40, 20, 24, 32], [90, -10, 20, 40]], np.float32))
    assert inside.shape == (SIDE, SIDE, 3)
    bright = np.argwhere(inside[..., 0] > 150)  # 48 pixels of the picture become 48: one to one.
    assert bright.min(axis=0).tolist() == [8, 12]
    assert bright.max(axis=0).tolist() == [39, 35]
    assert outside[0, -1].tolist() == [0, 128, 128]
    assert outside[-1, 0].tolist() == [50, 90, 90]


@pytest.mark.parametrize("box", [(1e6, 1e6, 5, 5), (-1e6, 0, 1e7, 1e7), (5, 5, 0, 0)])
def test_a_crop_of_any_box_is_small(box: tuple[float, ...]) -> None:
    assert crops(noise(30, 40), np.array([box], np.float32)).shape == (1, SIDE, SIDE, 3)


def test_the_verifier_decides_with_the_first_stage(folder: Path) -> None:
    picture = noise(160, 160)
    first = create_detector(config(folder, min_score=0.0)).detect(picture, 1)
    with_verifier(folder, (0.0, 1.0, 0.0))
    verified = create_detector(config(folder, min_score=0.0)).detect(picture, 1)
    boxes = np.array([(face.x, face.y, face.width, face.height) for face in first], np.float32)
    np.testing.assert_allclose([(face.x, face.y, face.width, face.height) for face in verified], boxes, rtol=1e-5)
    logits = Verifier(folder / VERIFIER_FILE, (0.0, 1.0, 0.0)).logits(crops(as_yuv(picture), boxes))
    np.testing.assert_allclose([face.score for face in verified], 1 / (1 + np.exp(-logits)), rtol=1e-4)


def test_what_the_first_stage_hardly_sees_is_no_candidate(folder: Path) -> None:
    """Untrained, it gives every cell about 0.01; a verifier that says yes to all must not be asked."""
    with_verifier(folder, (0.0, 0.0, 9.0))
    assert create_detector(config(folder, min_score=0.5)).detect(noise(160, 160), 1) == []


def test_the_verifier_belongs_to_what_decides_the_faces(folder: Path) -> None:
    before = read_detector(folder).digest
    with_verifier(folder, (1.0, 1.0, 0.0))
    first = read_detector(folder).digest
    with_verifier(folder, (1.0, 0.5, 0.0))
    model = read_detector(folder)
    assert len({before, first, model.digest}) == 3
    (folder / VERIFIER_FILE).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"verifier\.onnx: its sha256 is not the one in config\.json"):
        create_detector(config(folder))
    write_detector(folder, replace(model, verifier_sha256=file_sha256(folder / VERIFIER_FILE)))
    with pytest.raises(UsageError, match=r"verifier\.onnx: ONNX Runtime can't use it"):
        create_detector(config(folder))
