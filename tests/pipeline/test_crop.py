"""The square around a face, 48 by 48, with the frame's edge repeated where the square leaves the frame."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.detection.base import CropRule
from fer_batch.pipeline.crop import crop_face, face_quality
from fer_batch.records import Detection, FaceQuality, Frame

PLAIN = CropRule(scale=1.0)
WIDTH, HEIGHT = 120, 90


def frame_of(luma: NDArray[np.uint8], scale: int = 1) -> Frame:
    """A frame whose luma is reduced by `scale`."""
    return Frame(luma, luma.shape[1] * scale, luma.shape[0] * scale, None)


def across() -> NDArray[np.uint8]:
    """Each pixel holds its column."""
    return np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1))


def down() -> NDArray[np.uint8]:
    """Each pixel holds its row."""
    return np.tile(np.arange(HEIGHT, dtype=np.uint8)[:, None], (1, WIDTH))


def columns_and_rows(face: Detection, rule: CropRule = PLAIN) -> tuple[list[int], list[int]]:
    """Which column and row of the frame each column and row of a crop shows."""
    x, y = (crop_face(frame_of(picture), face, rule) for picture in (across(), down()))
    assert (x == x[0]).all()
    assert (y == y[:, :1]).all()
    return x[0].tolist(), y[:, 0].tolist()


def test_a_box_of_48_is_taken_as_it_is() -> None:
    columns, rows = columns_and_rows(Detection(10, 20, 48, 48))
    assert columns == list(range(10, 58))
    assert rows == list(range(20, 68))


def test_the_longer_side_makes_the_square_around_the_middle() -> None:
    columns, rows = columns_and_rows(Detection(30, 20, 20, 48))
    assert columns == list(range(16, 64))
    assert rows == list(range(20, 68))


def test_the_rule_enlarges_and_shifts() -> None:
    columns, rows = columns_and_rows(Detection(40, 30, 24, 24), CropRule(scale=2.0, shift_y=0.25))
    assert columns == list(range(28, 76))
    assert rows == list(range(24, 72))


@pytest.mark.parametrize(
    ("face", "columns", "rows"),
    [
        (Detection(-8, -4, 48, 48), [0] * 8 + list(range(40)), [0] * 4 + list(range(44))),
        (Detection(80, 50, 48, 48), [*range(80, 120), *[119] * 8], [*range(50, 90), *[89] * 8]),
        (Detection(-100, 20, 48, 48), [0] * 48, list(range(20, 68))),
        (Detection(400, 20, 48, 48), [119] * 48, list(range(20, 68))),
        (Detection(20, -100, 48, 48), list(range(20, 68)), [0] * 48),
        (Detection(20, 400, 48, 48), list(range(20, 68)), [89] * 48),
    ],
)
def test_outside_the_frame_its_edge_is_repeated(face: Detection, columns: list[int], rows: list[int]) -> None:
    assert columns_and_rows(face) == (columns, rows)


def test_a_box_larger_than_the_frame() -> None:
    columns, rows = columns_and_rows(Detection(-60, -75, 240, 240))
    assert columns[:12] == [0] * 12
    assert columns[-12:] == [119] * 12
    assert columns == sorted(columns)
    assert rows[:15] == [0] * 15
    assert rows[-15:] == [89] * 15


def test_boxes_count_pixels_of_the_full_frame() -> None:
    """Luma may be decoded at a half or a quarter."""
    crop = crop_face(frame_of(across(), scale=4), Detection(40, 80, 192, 192), PLAIN)
    assert crop[0].tolist() == list(range(10, 58))


def test_reduction_averages() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (96, 48))
    assert np.unique(crop_face(frame_of(stripes), Detection(0, 0, 96, 96), PLAIN)).tolist() == [100]


@pytest.mark.parametrize("angles", [None, (0.0, 0.0, 33.0)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 300), (300, 1)])
@pytest.mark.parametrize(
    "face",
    [
        Detection(0, 0, 1, 1),
        Detection(0, 0, 0, 0),
        Detection(0.4, 0.4, 0.1, 0.1),
        Detection(-9, -9, 20, 20),
        Detection(0, 0, 500, 2),
    ],
)
def test_tiny_and_narrow_frames_give_a_full_crop(
    size: tuple[int, int], face: Detection, angles: tuple[float, float, float] | None
) -> None:
    crop = crop_face(frame_of(np.full(size, 77, np.uint8)), replace(face, angles=angles), PLAIN)
    assert (crop.shape, crop.dtype) == ((48, 48), np.uint8)
    assert np.unique(crop).tolist() == [77]


@pytest.mark.parametrize("degrees", [-60, -25, 15, 25, 40])
def test_a_leaning_head_is_turned_upright(degrees: float) -> None:
    """A picture turned by a roll, with that roll told of its face, gives the crop of the upright one."""
    bars = np.full((301, 301), 128, np.uint8)
    bars[130:140, 120:180] = 250  # The eyes' line is bright, the mouth's is dark.
    bars[170:176, 130:170] = 10
    # OpenCV turns counterclockwise; a roll is positive where the head leans to the right, clockwise.
    turn = cv2.getRotationMatrix2D((150, 150), -degrees, 1)
    leaning = np.asarray(cv2.warpAffine(bars, turn, (301, 301), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    face = Detection(102.5, 102.5, 96, 96, angles=(0.0, 0.0, degrees))
    wanted = crop_face(frame_of(bars), replace(face, angles=None), PLAIN).astype(float)
    given = crop_face(frame_of(leaning), face, PLAIN).astype(float)
    untouched = crop_face(frame_of(leaning), replace(face, angles=None), PLAIN).astype(float)
    assert np.abs(given - wanted).mean() < 3
    assert np.abs(untouched - wanted).mean() > 2 * np.abs(given - wanted).mean()


def test_a_head_that_hardly_leans_is_taken_as_it_is() -> None:
    face = Detection(30, 20, 48, 48)
    for roll in (-14.9, 0.0, 14.9):
        leaning = replace(face, angles=(20.0, -10.0, roll))
        assert np.array_equal(crop_face(frame_of(across()), leaning, PLAIN), crop_face(frame_of(across()), face, PLAIN))


def test_the_crop_does_not_hold_on_to_the_frame() -> None:
    """Views of a frame would keep all frames of a film in memory."""
    luma = across()
    crop = crop_face(frame_of(luma), Detection(10, 20, 48, 48), PLAIN)
    assert not np.shares_memory(crop, luma)


def test_the_frame_is_left_alone() -> None:
    luma = across()
    luma.setflags(write=False)
    crop_face(frame_of(luma), Detection(-5, -5, 20, 20), PLAIN)
    assert np.array_equal(luma, across())


def quality_of(luma: NDArray[np.uint8], face: Detection, scale: int = 1) -> FaceQuality:
    frame = frame_of(luma, scale)
    return face_quality(frame, face, PLAIN, crop_face(frame, face, PLAIN))


@pytest.fixture
def texture() -> NDArray[np.uint8]:
    """A picture with detail at every scale, uint8 (96, 96)."""
    random = np.random.default_rng(0)
    layers = [cv2.resize(random.normal(0, 20, (side, side)), (96, 96)) for side in (6, 24, 96)]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def test_sharpness_falls_with_blur_and_with_few_pixels(texture: NDArray[np.uint8]) -> None:
    face = Detection(0, 0, 96, 96)
    blurred = [
        quality_of(np.asarray(cv2.GaussianBlur(texture, (0, 0), sigma), np.uint8), face).sharpness
        for sigma in (0.5, 2, 4, 8)
    ]
    assert blurred == sorted(blurred, reverse=True)
    few = []
    for side in (48, 24, 12):
        small = np.asarray(cv2.resize(texture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        few.append(quality_of(small, Detection(0, 0, side, side)).sharpness)
    assert few[0] > 2 * few[1] > 4 * few[2]


def test_sharpness_does_not_depend_on_contrast(texture: NDArray[np.uint8]) -> None:
    face, flat = Detection(0, 0, 96, 96), (texture // 2 + 60).astype(np.uint8)
    assert quality_of(flat, face).sharpness == pytest.approx(quality_of(texture, face).sharpness, rel=0.05)


def test_a_face_of_a_single_gray_value_is_not_sharp() -> None:
    assert quality_of(np.full((48, 48), 128, np.uint8), Detection(0, 0, 48, 48)).sharpness == 0.0


@pytest.mark.parametrize(("gray", "expected"), [(0, 0.0), (51, 0.2), (255, 1.0)])
def test_brightness_is_the_mean_gray_level(gray: int, expected: float) -> None:
    assert quality_of(np.full((60, 60), gray, np.uint8), Detection(5, 5, 40, 40)).brightness == pytest.approx(expected)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 10, 40, 40), 0.0),
        ((-10, 10, 40, 40), 0.25),
        ((80, 10, 40, 40), 0.5),
        ((80, 80, 40, 40), 0.75),
        ((200, 200, 40, 40), 1.0),
        ((-50, -50, 200, 200), 0.75),
    ],
)
def test_the_share_outside_the_frame_is_that_of_the_square(box: tuple[float, ...], expected: float) -> None:
    assert quality_of(np.zeros((100, 100), np.uint8), Detection(*box)).outside_frame == pytest.approx(expected)


def test_the_share_outside_the_frame_is_measured_in_the_full_frame() -> None:
    luma = np.zeros((50, 50), np.uint8)
    assert quality_of(luma, Detection(160, 40, 80, 80), scale=4).outside_frame == pytest.approx(0.5)
