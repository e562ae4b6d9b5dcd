"""A folder of train-detector as a detector: what it reads, and what is wrong with one that can't be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.base import DetectorError
from fer_batch.detection.builtin import EmbeddedDetector, RawDetections, as_yuv, blocks, network_input
from fer_batch.detection.model_folder import ONNX_FILE, DetectorModel, read_detector, write_detector
from fer_batch.detection.network import cells, in_pixels
from fer_batch.errors import UsageError
from fer_batch.model_folder import CONFIG_FILE, INT8_FILE, file_sha256
from fer_batch.onnx.session import NetworkError, open_network
from fer_batch.pipeline.resolve import resolve_detector
from fer_batch.run_config import RunConfig
from fer_batch.training.detector.targets import intersection_over_union
from tests.helpers.models import make_face_network

pytest.importorskip("onnx", reason="the extra train is not installed")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_face_network(tmp_path_factory.mktemp("network") / ONNX_FILE)


@pytest.fixture
def folder(network: Path, tmp_path: Path) -> Path:
    (tmp_path / ONNX_FILE).write_bytes(network.read_bytes())
    write_detector(tmp_path, DetectorModel("tiny", "1", 0.009, 1.2, 0.05, file_sha256(network)))
    return tmp_path


def config(folder: Path, **changes: Any) -> DetectorConfig:
    return DetectorConfig("embedded", str(folder / ONNX_FILE), **changes)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (30, 640), (97, 133), (480, 64)])
def test_reads_pictures_of_any_shape(folder: Path, shape: tuple[int, int]) -> None:
    detector = create_detector(config(folder))
    assert detector.needs_colour
    picture = noise(*shape)
    for face in detector.detect(picture, 1):
        assert face.landmarks is not None
        assert face.landmarks.shape == (5, 2)
        assert face.score is not None
        assert 0.009 <= face.score <= 1


def test_the_folder_decides_crop_and_threshold(folder: Path) -> None:
    picture = noise(160, 160)
    detector = create_detector(config(folder))
    assert (detector.crop_rule.scale, detector.crop_rule.shift_y) == (1.2, 0.05)
    assert len(detector.detect(picture, 1)) > 0  # Untrained, every cell scores about 0.01.
    assert len(create_detector(config(folder, min_score=0.9)).detect(picture, 1)) == 0


def test_a_run_is_told_by_what_decides_its_faces(folder: Path) -> None:
    def digest() -> str | None:
        return resolve_detector(RunConfig(detector_model=str(folder / ONNX_FILE))).model_sha256

    first, model = digest(), read_detector(folder)
    write_detector(folder, DetectorModel(**{**vars(model), "version": "2"}))
    assert digest() == first
    write_detector(folder, DetectorModel(**{**vars(model), "min_score": 0.7}))
    assert digest() != first


def broken(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        values = json.loads((folder / CONFIG_FILE).read_text())
        change(values)
        (folder / CONFIG_FILE).write_text(json.dumps(values))

    return write


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / CONFIG_FILE).unlink(), "cannot be read as a detector's config"),
        (lambda folder: (folder / CONFIG_FILE).write_text("[]"), "cannot be read as a detector's config"),
        (broken(lambda values: values.update(format=9)), "format 9, but this version reads format 2"),
        (broken(lambda values: values.pop("min_score")), "cannot be read as a detector's config"),
        (broken(lambda values: values.update(min_score="high")), "cannot be read as a detector's config"),
        (broken(lambda values: values.update(min_score=7)), "min_score must be 0 to 1"),
        (lambda folder: (folder / ONNX_FILE).unlink(), "detector.onnx: missing"),
        (lambda folder: (folder / ONNX_FILE).write_bytes(b"x"), "its sha256 is not the one in config.json"),
    ],
)
def test_a_folder_that_can_not_be_used_is_named(folder: Path, harm: Callable[[Path], object], words: str) -> None:
    harm(folder)
    with pytest.raises(UsageError, match=words):
        create_detector(config(folder))


def test_a_file_that_is_no_network_is_named(folder: Path) -> None:
    (folder / ONNX_FILE).write_bytes(b"no network")
    write_detector(folder, DetectorModel("tiny", "1", 0.5, 1.0, 0.0, file_sha256(folder / ONNX_FILE)))
    with pytest.raises(UsageError, match=r"detector\.onnx: ONNX Runtime can't use it"):
        create_detector(config(folder))


@pytest.mark.parametrize("shape", [(64, 64), (97, 133), (240, 200)])
def test_finds_what_the_outputs_say_and_each_face_once(folder: Path, shape: tuple[int, int]) -> None:
    picture = noise(*shape, seed=2)
    batch = network_input(as_yuv(picture))
    height, width = (-(-side // 32) * 32 for side in shape)
    assert batch.shape == (1, height // 2, width // 4, 24)
    faces = open_network(folder / ONNX_FILE, threads=1)(batch)["faces"]
    scores = 1 / (1 + np.exp(-faces[:, 0]))
    boxes, points = in_pixels(cells(height, width), faces)
    found = create_detector(config(folder, min_score=0.0)).detect(picture, 0)
    assert len(found) > 1
    assert max(face.score for face in found) == pytest.approx(scores.max())
    for face in found:
        cell = int(np.abs(boxes - (face.x, face.y, face.width, face.height)).sum(axis=1).argmin())
        assert (face.x, face.y, face.width, face.height) == pytest.approx(boxes[cell].tolist(), abs=1e-3)
        assert face.score == pytest.approx(scores[cell])
        np.testing.assert_allclose(face.landmarks, points[cell], atol=1e-3)
    kept = np.array([(face.x, face.y, face.width, face.height) for face in found])
    overlaps = intersection_over_union(kept, kept)[~np.eye(len(kept), dtype=bool)]
    assert overlaps.max() <= 0.3 + 1e-6


def test_a_picture_becomes_full_range_yuv_with_black_around() -> None:
    picture = np.full((40, 50, 3), (255, 0, 0), np.uint8)  # Blue.
    batch = network_input(as_yuv(picture))
    assert batch.shape == (1, 32, 16, 24)
    assert batch[0, 0, 0, :3].tolist() == [29, 255, 107]  # ITU-R BT.601, full range.
    assert batch[0, -1, -1, -3:].tolist() == [0, 128, 128]


def test_blocks_hold_each_pixel_in_its_place() -> None:
    picture = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    for part in (picture, picture[::-1]):  # One that is not contiguous, too.
        found = blocks(part)
        assert found.shape == (1, 2, 2, 24)
        assert found[0, 1, 1].tolist() == part[2:, 4:].ravel().tolist()


def test_small_faces_are_left_out(folder: Path) -> None:
    picture = noise(160, 160)
    found = create_detector(config(folder)).detect(picture, 1)
    sides = sorted(min(one.width, one.height) for one in found)
    least = sides[len(sides) // 2]
    kept = create_detector(config(folder)).detect(picture, least)
    assert sorted(min(one.width, one.height) for one in kept) == [side for side in sides if side >= least]


def test_the_network_in_8_bits_is_what_runs(folder: Path) -> None:
    """Told by its answers: near those of float32, and others."""
    from fer_batch.onnx.quantization import quantize

    picture = noise(160, 160)
    expected = create_detector(config(folder)).detect(picture, 1)
    batches = [network_input(as_yuv(picture)).astype(np.float32)]
    quantize(folder / ONNX_FILE, folder / INT8_FILE, batches)
    model = replace(read_detector(folder), int8_sha256=file_sha256(folder / INT8_FILE))
    assert model.digest != read_detector(folder).digest
    write_detector(folder, model)
    found = create_detector(config(folder)).detect(picture, 1)
    assert [one.score for one in found] != [one.score for one in expected]
    assert np.mean([one.score for one in found]) == pytest.approx(np.mean([one.score for one in expected]), rel=0.05)
    (folder / INT8_FILE).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"int8\.onnx: its sha256 is not the one in config\.json"):
        create_detector(config(folder))


def test_where_every_cell_is_a_face_the_best_are_looked_at(folder: Path) -> None:
    picture = noise(640, 1280)
    detector = create_detector(config(folder, min_score=0.0))
    found = detector.detect(picture, 1)
    assert 100 < len(found) < 5000
    best = create_detector(config(folder)).detect(picture, 1)
    assert max(one.score for one in found) == max(one.score for one in best)


def test_a_network_that_fails_on_a_picture_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(batch: object) -> None:
        raise NetworkError("no memory for a layer")

    detector = create_detector(config(folder))
    monkeypatch.setattr(detector, "_network", fail)
    with pytest.raises(DetectorError, match=r"^no memory for a layer$"):
        detector.detect(np.zeros((64, 64, 3), np.uint8), 1)


def test_another_network_is_named(folder: Path, tmp_path: Path) -> None:
    """One that ONNX Runtime can load, without the outputs of a detector."""
    from fer_batch.onnx.export import Graph

    graph = Graph()
    graph.node("Relu", "other", ["input"])
    graph.save(folder / ONNX_FILE, "other", [1, "rows", "columns", 24], {"other": [1, "rows", "columns", 24]})
    write_detector(folder, DetectorModel("other", "1", 0.5, 1.0, 0.0, file_sha256(folder / ONNX_FILE)))
    with pytest.raises(UsageError, match=r"detector\.onnx: can't be used as a face detector \(.*faces"):
        create_detector(config(folder))


def test_a_large_picture_is_also_searched_at_about_a_quarter_of_its_size_for_large_faces(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the network found, at any size, a face of 50 and another of 20 pixels."""
    searched = []

    def search(picture: NDArray[np.uint8], min_score: float) -> RawDetections:
        searched.append(picture.shape[:2])
        boxes = np.array([(10, 10, 50, 50), (70, 10, 20, 20)], np.float32)
        return RawDetections(boxes, np.ones((2, 5, 2), np.float32), np.array([0.6, 0.7], np.float32))

    detector = create_detector(config(folder))
    assert isinstance(detector, EmbeddedDetector)
    monkeypatch.setattr(detector, "_search", search)
    faces = detector.detect(noise(288, 384), 1)
    assert searched == [(288, 384), (72, 96)]
    found = sorted((face.x, face.y, face.width, face.height) for face in faces)
    assert found == [(10, 10, 50, 50), (40, 40, 200, 200), (70, 10, 20, 20)]
    assert sorted(face.landmarks[0, 0] for face in faces) == [1, 1, 4]
    searched.clear()
    assert len(detector.detect(noise(200, 250), 1)) == 2
    assert searched == [(200, 250)]
