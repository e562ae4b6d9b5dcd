"""Blurred faces: beyond recognition, with a margin, and around the frames in which they were found."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.search import find_faces
from fer_batch.media.image import frame_from_bgr
from fer_batch.preview.blur import MARGIN, VideoBlur, _blurred, _merged, blur
from fer_batch.preview.face_finder import FaceFinder, Found, face_finders
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
    result = list(_blurred(frames))
    assert [frame.time for frame in result] == times
    changed = [index for index, frame in enumerate(result) if (frame.picture != noise()).any()]
    assert changed == list(range(found_at - 6, found_at + 13))  # A quarter of a second before, half a second after.


@pytest.mark.parametrize(("bytes_waiting", "before"), [(10**9, 15), (5 * 30_000, 4)])
def test_frames_wait_for_a_quarter_of_a_second_as_far_as_memory_goes(
    bytes_waiting: int, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_batch.preview.blur._MOST_WAITING", bytes_waiting)
    frames = ((DrawnFrame(Fraction(i, 60), noise(), []), [BOX] if i == 30 else []) for i in range(60))
    changed = [i for i, frame in enumerate(_blurred(frames)) if (frame.picture != noise()).any()]
    assert changed == list(range(30 - before, 60))


def test_face_is_not_blurred_beyond_a_cut() -> None:
    times = [Fraction(index, 25) for index in range(10)]
    frames = (
        (DrawnFrame(time, noise(), [], index // 5), [BOX] if index == 4 else []) for index, time in enumerate(times)
    )
    changed = [index for index, frame in enumerate(_blurred(frames)) if (frame.picture != noise()).any()]
    assert changed == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("rate", "expected"), [(30, [0, 4, 5, 9]), (15, [0, 2, 4, 5, 7, 9]), (8, list(range(10)))])
def test_frames_are_searched_large_at_least_six_times_a_second_and_after_each_cut(
    rate: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture of each frame holds its number."""
    sizes = searched_sizes(monkeypatch)
    with VideoBlur() as video_blur:
        list(video_blur.frames(numbered(rate)))
    assert sorted(sizes) == list(range(10))
    assert [number for number in sorted(sizes) if sizes[number] == 2] == expected


def test_video_that_is_drawn_again_is_blurred_as_before_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = searched_sizes(monkeypatch)
    with VideoBlur() as video_blur:
        pictures = [[frame.picture for frame in video_blur.frames(numbered(30))] for _ in range(2)]
    assert len(sizes) == 10
    assert np.array_equal(*pictures)


def test_what_the_drawn_film_still_shows_is_blurred_over_all_from_shortly_before_to_shortly_after() -> None:
    changed = []
    with VideoBlur() as video_blur:
        video_blur.add_shown(Fraction(1), [BOX])
        for tenth in range(20):
            canvas = noise()
            video_blur.hide_shown(canvas, Fraction(tenth, 10))
            if (canvas != noise()).any():
                changed.append(tenth)
    assert changed == [8, 9, 10, 11, 12, 13, 14, 15]


@pytest.mark.parametrize(
    ("x", "expected"), [(0.1, (0, 44)), (0.3, (23, 64)), (0.5, (43, 84)), (0.66, (59, 100)), (0.9, (83, 100))]
)
def test_face_near_a_side_is_blurred_up_to_it(x: float, expected: tuple[int, int]) -> None:
    """There it comes in or leaves, and is found only once most of it is seen."""
    picture = noise()
    blur(picture, [(x, 0.4, 0.24, 0.2)])
    columns = np.flatnonzero((picture != noise()).any(axis=(0, 2)))
    assert (columns[0], columns[-1] + 1) == pytest.approx(expected, abs=2)


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
    blur(picture, [box for _, box in face_finders()[0].find(picture)])
    assert faces() == 0


def numbered(rate: int) -> Iterator[DrawnFrame]:
    """Ten frames, the second half after a cut, whose pictures hold their numbers and some noise."""
    for index in range(10):
        picture = noise()
        picture[0, 0, 0] = index
        yield DrawnFrame(Fraction(index, rate), picture, [], index // 5)


def searched_sizes(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """At how many sizes each of the `numbered` frames is searched; a face is found in each, elsewhere by its number."""
    sizes: dict[int, int] = {}

    def find(finder: FaceFinder, picture: np.ndarray, longest_sides: tuple[int, ...]) -> list[Found]:
        number = int(picture[0, 0, 0])
        if longest_sides:
            assert number not in sizes
            sizes[number] = len(longest_sides)
        return [(0.5, (0.3 + number / 40, 0.5, 0.1, 0.1))] if longest_sides else []

    monkeypatch.setattr(FaceFinder, "find", find)
    return sizes
