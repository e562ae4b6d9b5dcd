"""Faces in pixels of the full frame: scaling, order, the smallest face, and frames of odd shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.base import CropRule
from fer_batch.detection.search import find_faces
from fer_batch.records import Detection, Frame


class Stub:
    """Reports given faces and remembers what it was asked."""

    crop_rule = CropRule(scale=1.0)
    min_score = None

    def __init__(self, *faces: Detection, needs_colour: bool = False) -> None:
        self.faces, self.needs_colour = faces, needs_colour
        self.picture = np.empty(0, np.uint8)
        self.min_face = 0.0

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        self.picture, self.min_face = picture, min_face
        return self.faces


def frame_of(width: int, height: int, scale: int = 1) -> Frame:
    """A gray frame whose luma is reduced by `scale`."""
    return Frame(np.full((height // scale, width // scale), 90, np.uint8), width, height, None)


def box(face: Detection) -> tuple[float, float, float, float]:
    return face.x, face.y, face.width, face.height


def test_small_frames_are_searched_as_they_are() -> None:
    stub = Stub(Detection(10, 20, 30, 40, 0.9))
    frame = frame_of(320, 240)
    assert find_faces(frame, stub, DetectorConfig(min_face=12)) == (Detection(10, 20, 30, 40, 0.9),)
    assert stub.picture is frame.luma
    assert stub.min_face == 12


def test_boxes_and_landmarks_come_back_in_pixels_of_the_full_frame() -> None:
    marks = np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]], np.float32)
    stub = Stub(Detection(10, 20, 30, 40, 0.5, marks))
    (face,) = find_faces(frame_of(1920, 1080), stub, DetectorConfig(min_face=30))
    assert stub.picture.shape == (360, 640)
    assert stub.min_face == 10
    assert box(face) == (30, 60, 90, 120)
    assert face.score == 0.5
    assert face.landmarks is not None
    np.testing.assert_allclose(face.landmarks, marks * 3)
    np.testing.assert_array_equal(marks[0], [1, 2])  # The detector's own are left alone.


def test_head_angles_where_there_are_landmarks() -> None:
    """Those of a face that looks into the camera."""
    marks = np.array([[35, 40], [65, 40], [50, 58], [37, 70], [63, 70]], np.float32)
    seen, unseen = find_faces(
        frame_of(1280, 640), Stub(Detection(30, 20, 40, 60, 0.9, marks), Detection(99, 20, 40, 60)), DetectorConfig()
    )
    assert seen.angles == pytest.approx((0, 0, 0), abs=2)
    assert unseen.angles is None


def test_landmarks_stay_float32() -> None:
    (face,) = find_faces(
        frame_of(64, 48), Stub(Detection(0, 0, 20, 20, 0.5, np.ones((5, 2), np.float32))), DetectorConfig()
    )
    assert face.landmarks is not None
    assert (face.landmarks.shape, face.landmarks.dtype) == ((5, 2), np.float32)


def test_each_side_has_its_own_factor() -> None:
    """1000 x 333 becomes 640 x 213: 1.5625 across, 1.5634 down."""
    stub = Stub(Detection(320, 106.5, 320, 106.5))
    (face,) = find_faces(frame_of(1000, 333), stub, DetectorConfig())
    assert stub.picture.shape == (213, 640)
    assert box(face) == (500, 166.5, 500, 166.5)


def test_luma_that_was_decoded_smaller_counts_as_the_full_frame() -> None:
    stub = Stub(Detection(10, 20, 30, 40))
    (face,) = find_faces(frame_of(1200, 800, scale=4), stub, DetectorConfig(min_face=40))
    assert stub.picture.shape == (200, 300)
    assert stub.min_face == 10
    assert box(face) == (40, 80, 120, 160)


def test_colour_is_searched_where_the_frame_has_it() -> None:
    frame = Frame(np.zeros((480, 640), np.uint8), 640, 480, None, np.zeros((240, 320, 3), np.uint8))
    stub = Stub(Detection(10, 20, 30, 40), needs_colour=True)
    (face,) = find_faces(frame, stub, DetectorConfig(longest_side=320))
    assert stub.picture is frame.bgr
    assert box(face) == (20, 40, 60, 80)


def test_faces_are_ordered_left_to_right_then_down() -> None:
    faces = [Detection(50, 1, 20, 20), Detection(-5, 9, 20, 20), Detection(50, 0, 20, 20), Detection(50, 0, 15, 20)]
    found = find_faces(frame_of(100, 80), Stub(*faces), DetectorConfig())
    assert found == (faces[1], faces[3], faces[2], faces[0])


def test_the_smallest_face_is_measured_in_the_full_frame_by_its_smaller_side() -> None:
    stub = Stub(Detection(0, 0, 10, 30), Detection(1, 0, 30, 10), Detection(2, 0, 9.9, 30), Detection(3, 0, 30, 9.9))
    found = find_faces(frame_of(1280, 720), stub, DetectorConfig(min_face=20))
    assert [face.x for face in found] == [0, 2]


@pytest.mark.parametrize(
    ("width", "height", "searched"),
    [
        (1, 1, (1, 1)),
        (3, 2, (2, 3)),
        (6400, 2, (1, 640)),
        (2, 6400, (640, 1)),
        (640, 640, (640, 640)),
        (641, 1, (1, 640)),
    ],
)
def test_frames_of_any_shape(width: int, height: int, searched: tuple[int, int]) -> None:
    stub = Stub(Detection(0, 0, searched[1], searched[0]))
    (face,) = find_faces(frame_of(width, height), stub, DetectorConfig(min_face=1))
    assert stub.picture.shape == searched
    assert stub.picture.dtype == np.uint8
    assert box(face) == (0, 0, width, height)


def test_no_face_is_a_result() -> None:
    assert find_faces(frame_of(64, 48), Stub(), DetectorConfig()) == ()


class Bright:
    """Finds the one bright patch of a picture, as far as the picture shows it, if it fills at most 500 pixels."""

    crop_rule, needs_colour, min_score = CropRule(scale=1.0), False, None

    def __init__(self) -> None:
        self.largest = 0

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        self.largest = max(self.largest, *picture.shape)
        rows, columns = np.flatnonzero((picture > 150).any(axis=1)), np.flatnonzero((picture > 150).any(axis=0))
        if not len(rows) or len(rows) > 500 or len(rows) < min_face:
            return ()
        marks = np.full((5, 2), (columns[0], rows[0]), np.float32)
        score = 0.5 + min(len(rows), len(columns)) / 2000  # The whole patch looks better than a part of it.
        return (Detection(columns[0], rows[0], len(columns), len(rows), score, marks),)


@pytest.mark.parametrize("size", [12, 100, 240, 480, 900, 1500])
@pytest.mark.parametrize("place", [(0, 0), (700, 900), (1000, 1020), (2300, 1400)])
def test_large_pictures_are_searched_in_tiles_and_each_face_is_found_once(size: int, place: tuple[int, int]) -> None:
    luma = np.full((3000, 4000), 60, np.uint8)
    luma[place[1] : place[1] + size, place[0] : place[0] + size] = 240
    detector = Bright()
    (face,) = find_faces(Frame(luma, 4000, 3000, None), detector, DetectorConfig(longest_side=4000))
    assert box(face) == pytest.approx((*place, size, size), abs=8)
    assert face.landmarks is not None
    assert face.landmarks[0] == pytest.approx(place, abs=8)
    assert detector.largest <= 1280


def test_the_smallest_face_counts_in_tiles_too() -> None:
    luma = np.full((3000, 4000), 60, np.uint8)
    luma[1000:1030, 1000:1030] = 240
    frame = Frame(luma, 4000, 3000, None)
    assert find_faces(frame, Bright(), DetectorConfig(longest_side=4000, min_face=31)) == ()
    assert len(find_faces(frame, Bright(), DetectorConfig(longest_side=4000, min_face=29))) == 1


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 3), (1300, 1300)])
def test_long_pictures_in_tiles(shape: tuple[int, int]) -> None:
    luma = np.full(shape, 60, np.uint8)
    luma[-1, -1] = 240
    faces = find_faces(Frame(luma, shape[1], shape[0], None), Bright(), DetectorConfig(longest_side=5000, min_face=1))
    assert [(round(face.x), round(face.y)) for face in faces] == [(shape[1] - 1, shape[0] - 1)]
