"""What every detector must do, run over all of them."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig, Sampling
from fer_batch.detection import DETECTORS, create_detector
from fer_batch.detection.base import Detector
from fer_batch.detection.search import find_faces
from fer_batch.errors import UsageError
from fer_batch.media.image import read_image
from fer_batch.pipeline.crop import crop_face
from fer_batch.pipeline.worker import Settings
from fer_batch.records import Detection
from tests.helpers.clips import SAMPLES

PHOTOS = SAMPLES / "photos"
YUNET = Path(
    os.environ.get("FER_BATCH_YUNET") or SAMPLES.parent.parent / "shared" / "models" / "yunet_n_640_640.onnx"
).resolve()
ODD_SHAPES = [(1, 1), (2, 3), (1, 640), (20, 300), (32, 640), (640, 1), (640, 30), (23, 23), (48, 64), (97, 33)]

needs_yunet = pytest.mark.skipif(not YUNET.is_file(), reason="no YuNet model file; name one in FER_BATCH_YUNET")
CONFIGS = [
    pytest.param(DetectorConfig("embedded"), id="embedded"),
    pytest.param(DetectorConfig("haar"), id="haar"),
    pytest.param(DetectorConfig("yunet", str(YUNET)), id="yunet", marks=needs_yunet),
]


@pytest.fixture(params=CONFIGS, scope="module")
def config(request: pytest.FixtureRequest) -> DetectorConfig:
    given: DetectorConfig = request.param
    return given


@pytest.fixture(scope="module")
def detector(config: DetectorConfig) -> Detector:
    return create_detector(config)


def photo(name: str, detector: Detector) -> NDArray[np.uint8]:
    """A sample photo as this detector wants it."""
    _, frame, _ = read_image(str(PHOTOS / name), detector.needs_colour)
    return frame.luma if frame.bgr is None else frame.bgr


def plain(shape: tuple[int, int], detector: Detector, level: int = 128) -> NDArray[np.uint8]:
    return np.full((*shape, 3) if detector.needs_colour else shape, level, np.uint8)


def check(face: Detection, picture: NDArray[np.uint8]) -> None:
    """A face has plain, finite numbers, and its box lies at least in part on the picture."""
    height, width = picture.shape[:2]
    numbers = [face.x, face.y, face.width, face.height]
    assert all(type(number) is float and np.isfinite(number) for number in numbers)
    assert face.width > 0
    assert face.height > 0
    assert -face.width < face.x < width
    assert -face.height < face.y < height
    assert face.score is None or (type(face.score) is float and 0 <= face.score <= 1)
    if face.landmarks is not None:
        assert (face.landmarks.shape, face.landmarks.dtype) == ((5, 2), np.float32)
        assert np.isfinite(face.landmarks).all()


def covers(face: Detection, x: float, y: float) -> bool:
    return face.x < x < face.x + face.width and face.y < y < face.y + face.height


def test_the_suite_covers_all_detectors() -> None:
    assert {param.values[0].name for param in CONFIGS} == set(DETECTORS)


def test_finds_the_one_face(detector: Detector) -> None:
    picture = photo("astronaut.jpg", detector)
    faces = detector.detect(picture, 20)
    assert len(faces) == 1
    check(faces[0], picture)
    assert covers(faces[0], 224, 113)
    assert 70 < faces[0].width < 130
    assert 70 < faces[0].height < 150


def test_finds_two_faces(detector: Detector) -> None:
    picture = photo("two_people.png", detector)
    faces = sorted(detector.detect(picture, 20), key=lambda face: face.x)
    assert len(faces) == 2
    for face, (x, y) in zip(faces, [(164, 165), (487, 138)], strict=True):
        check(face, picture)
        assert covers(face, x, y)
        assert 100 < face.width < 200


@pytest.mark.parametrize("level", [0, 128, 255])
def test_finds_nothing_on_a_blank_picture(detector: Detector, level: int) -> None:
    assert len(detector.detect(plain((240, 320), detector, level), 10)) == 0


@pytest.mark.parametrize("min_face", [0, 10, 1e6])
def test_finds_nothing_on_blank_pictures_of_odd_shapes(detector: Detector, min_face: float) -> None:
    faces = cv2.resize(photo("two_people.png", detector), (320, 240), interpolation=cv2.INTER_AREA)
    for shape in ODD_SHAPES:
        assert len(detector.detect(faces, 20)) == 2  # Whose memory must not be read again.
        assert list(detector.detect(plain(shape, detector), min_face)) == [], shape


def test_a_low_strip_with_a_face_holds_at_most_that(detector: Detector) -> None:
    """A banner, or a panorama reduced to a few rows."""
    strip = plain((30, 640), detector)
    face = cv2.resize(photo("astronaut.jpg", detector)[50:200, 150:300], (30, 30), interpolation=cv2.INTER_AREA)
    strip[:, 300:330] = face
    for found in detector.detect(strip, 5):
        check(found, strip)
        assert covers(found, 315, 15)


def test_finds_no_face_in_a_cup(detector: Detector) -> None:
    assert len(detector.detect(photo("no_face.jpg", detector), 20)) == 0


def test_the_same_picture_gives_the_same_faces(config: DetectorConfig, detector: Detector) -> None:
    """Also after another picture of another size, and with another instance."""
    picture = photo("two_people.png", detector)
    first = detector.detect(picture, 20)
    detector.detect(plain((100, 50), detector), 10)
    for again in (detector.detect(picture, 20), create_detector(config).detect(picture, 20)):
        assert [(face.x, face.y, face.width, face.height, face.score) for face in again] == [
            (face.x, face.y, face.width, face.height, face.score) for face in first
        ]


def test_the_picture_is_left_alone_and_may_be_read_only(detector: Detector) -> None:
    picture = photo("astronaut.jpg", detector).copy()
    before = picture.copy()
    picture.setflags(write=False)
    assert len(detector.detect(picture, 20)) == 1
    assert np.array_equal(picture, before)


def test_faces_below_the_smallest_are_left_out(config: DetectorConfig, detector: Detector) -> None:
    _, frame, _ = read_image(str(PHOTOS / "astronaut.jpg"), detector.needs_colour)
    assert len(find_faces(frame, detector, replace(config, min_face=60))) == 1
    assert find_faces(frame, detector, replace(config, min_face=200)) == ()


@pytest.mark.parametrize("longest_side", [256, 400])
def test_a_reduced_search_finds_the_same_place(config: DetectorConfig, detector: Detector, longest_side: int) -> None:
    _, frame, _ = read_image(str(PHOTOS / "astronaut.jpg"), detector.needs_colour)
    (face,) = find_faces(frame, detector, replace(config, longest_side=longest_side))
    assert covers(face, 224, 113)
    assert 70 < face.width < 130


def test_a_turned_photo_is_searched_upright(config: DetectorConfig, detector: Detector) -> None:
    _, frame, _ = read_image(str(PHOTOS / "grace_hopper.jpg"), detector.needs_colour)
    (face,) = find_faces(frame, detector, config)
    assert covers(face, 266, 216)


def test_what_is_found_can_be_cut_out(config: DetectorConfig, detector: Detector) -> None:
    _, frame, _ = read_image(str(PHOTOS / "astronaut.jpg"), detector.needs_colour)
    (face,) = find_faces(frame, detector, config)
    crop = crop_face(frame, face, detector.crop_rule)
    assert (crop.shape, crop.dtype) == ((48, 48), np.uint8)
    assert crop.std() > 20
    assert detector.crop_rule.scale > 0


def test_settings_reach_a_worker(config: DetectorConfig) -> None:
    settings = Settings(Sampling(), config)
    arrived = pickle.loads(pickle.dumps(settings))
    assert arrived == settings
    assert create_detector(arrived.detector).needs_colour == create_detector(config).needs_colour


@pytest.mark.parametrize("config", [param for param in CONFIGS if param.id != "haar"], indirect=True)
def test_landmarks_and_scores(detector: Detector) -> None:
    """Right eye, left eye, nose, corners of the mouth: the person's right is on the picture's left."""
    (face,) = detector.detect(photo("astronaut.jpg", detector), 20)
    assert face.score is not None
    assert detector.min_score is not None
    assert face.score > detector.min_score + 0.1  # A face that looks into the camera is found beyond doubt.
    assert face.landmarks is not None
    right_eye, left_eye, nose, right_corner, left_corner = face.landmarks
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_corner[0] < left_corner[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_corner[1], left_corner[1])
    assert all(covers(face, x, y) for x, y in face.landmarks)


@needs_yunet
def test_a_higher_score_leaves_faces_out() -> None:
    detector = create_detector(DetectorConfig("yunet", str(YUNET), min_score=0.99))
    assert len(detector.detect(photo("astronaut.jpg", detector), 20)) == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (DetectorConfig("haar", min_score=0.5), "--min-score"),
        (DetectorConfig("yunet"), "--detector-model"),
        (DetectorConfig("yunet", "missing.onnx"), "--detector-model missing.onnx"),
        (DetectorConfig("yunet", str(PHOTOS / "astronaut.jpg")), "can't use it as YuNet"),
        (DetectorConfig("mtcnn"), "is none of embedded, haar, yunet"),
    ],
)
def test_what_can_not_be_loaded_is_the_users_to_mend(config: DetectorConfig, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        create_detector(config)
    assert len(str(caught.value).splitlines()) == 1
