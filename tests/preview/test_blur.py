"""Blurred faces: beyond recognition, with a margin, and around the frames in which they were found."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.search import find_faces
from fer_batch.media.image import frame_from_bgr
from fer_batch.preview.blur import MARGIN, BlurCheck, FaceFinder, _merged, blur, blurred, face_finder, searched
from fer_batch.preview.samples import Box, DrawnFrame
from tests.helpers.clips import SAMPLES

BOX: Box = (0.4, 0.4, 0.2, 0.2)


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)


def test_box_and_margin_are_blurred_and_nothing_else() -> None:
    picture = noise()
    blur(picture, [BOX])
    first, last = round(100 * (0.4 - MARGIN * 0.2)), round(100 * (0.6 + MARGIN * 0.2))
    changed = (picture != noise()).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (first, last, first, last)
    inside = picture[first:last, first:last].astype(int)
    assert np.abs(np.diff(inside, axis=0)).max() <= 2  # Nothing but a gradient is left.


@pytest.mark.parametrize("box", [(-0.1, -0.1, 0.3, 0.3), (0.9, 0.9, 0.3, 0.3), (2.0, 2.0, 0.1, 0.1), (0.5, 0.5, 0, 0)])
def test_box_at_or_beyond_the_edge_is_cut_off(box: Box) -> None:
    picture = noise()
    blur(picture, [box])
    assert picture.shape == (100, 100, 3)


def test_face_that_is_missed_in_some_frames_is_blurred_there_too() -> None:
    times = [Fraction(index, 25) for index in range(50)]
    found_at = 20
    frames = ((DrawnFrame(time, noise(), []), [BOX] if index == found_at else []) for index, time in enumerate(times))
    result = list(blurred(frames))
    assert [frame.time for frame in result] == times
    changed = [index for index, frame in enumerate(result) if (frame.picture != noise()).any()]
    assert changed == list(range(found_at - 6, found_at + 13))  # A quarter of a second before, half a second after.


def test_face_is_not_blurred_beyond_a_cut() -> None:
    times = [Fraction(index, 25) for index in range(10)]
    frames = (
        (DrawnFrame(time, noise(), [], index // 5), [BOX] if index == 4 else []) for index, time in enumerate(times)
    )
    changed = [index for index, frame in enumerate(blurred(frames)) if (frame.picture != noise()).any()]
    assert changed == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("rate", "expected"), [(30, [0, 2, 4, 5, 7, 9]), (15, list(range(10))), (10, list(range(10)))])
def test_frames_are_searched_large_at_least_twelve_times_a_second_and_after_each_cut(
    rate: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture of each frame holds its number; the box that is found there, too, and at how many sizes."""

    def boxes(finder: FaceFinder, picture: np.ndarray, longest_sides: tuple[int, ...]) -> list[Box]:
        return [(picture[0, 0, 0] / 100, 0.0, len(longest_sides) / 10, 0.1)]

    monkeypatch.setattr(FaceFinder, "boxes", boxes)
    frames = [
        DrawnFrame(Fraction(index, rate), np.full((8, 8, 3), index, np.uint8), [], index // 5) for index in range(10)
    ]
    found = list(searched(frames))
    assert [frame.time for frame, _ in found] == [frame.time for frame in frames]
    for index, (_, (box,)) in enumerate(found):
        assert box == (index / 100, 0.0, 0.2 if index in expected else 0.1, 0.1)


def test_boxes_that_overlap_by_half_are_blurred_as_one() -> None:
    near, far = (0.05, 0.0, 0.3, 0.3), (0.15, 0.0, 0.3, 0.3)  # Intersection over union 0.71 and 0.33.
    assert _merged([(0.0, 0.0, 0.3, 0.3), near]) == [pytest.approx((0.0, 0.0, 0.35, 0.3))]
    assert _merged([(0.0, 0.0, 0.3, 0.3), far]) == [(0.0, 0.0, 0.3, 0.3), far]


def test_detector_finds_no_face_in_a_blurred_photograph() -> None:
    picture = np.asarray(Image.open(SAMPLES / "photos" / "two_people.png").convert("RGB"))[:, :, ::-1].copy()
    config = DetectorConfig("embedded")
    detector = create_detector(config)

    def faces() -> int:
        return len(find_faces(frame_from_bgr(picture, colour=True), detector, config))

    assert faces() == 2
    blur(picture, face_finder().boxes(picture))
    assert faces() == 0


def test_what_is_still_found_is_blurred_and_what_is_left_then_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.asarray(Image.open(SAMPLES / "photos" / "two_people.png").convert("RGB"))[:, :, ::-1].copy()
    with monkeypatch.context() as patch:  # As if blurring did not help.
        patch.setattr("fer_batch.preview.blur.blur", lambda picture, boxes: None)
        check = BlurCheck()
        check.search(picture)
        assert (check.pictures, check.faces) == (1, 2)
        assert str(check).startswith("2 faces in 1 blurred picture at the detector's threshold of 0.")
    check.search(picture)
    assert (check.pictures, check.faces) == (2, 2)
    check.search(picture)
    assert (check.pictures, check.faces) == (3, 2)
