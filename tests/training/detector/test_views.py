"""The labels of a view follow its pixels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.views import MOST_TILES, View, Views, draw_view

SIDE = 128
CLEAN = Views(
    mosaic=0, occlusion=0, gray=0, colour=0, light=0, limited_range=0, blur=0, coarse=0, noise=0, compression=0
)


def ellipse() -> Photograph:
    """A white ellipse, as a face, on black, with a gray spot where its right eye is."""
    picture = np.zeros((150, 200), np.uint8)
    cv2.ellipse(picture, (100, 60), (20, 30), 0, 0, 360, 255, -1)
    cv2.circle(picture, (90, 50), 3, 128, -1)
    landmarks = np.array([(90, 50), (110, 50), (100, 60), (92, 72), (108, 72)], np.float32) + 0.5
    box = np.array([[80, 30, 41, 61]], np.float32)
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    return Photograph("x", "a/b", encoded, False, box, landmarks[None], np.array([0.9], np.float32))


def views_of(views: Views, count: int) -> list[View]:
    return [draw_view([ellipse()] * MOST_TILES, views, SIDE, np.random.default_rng(seed)) for seed in range(count)]


def test_boxes_follow_the_pixels() -> None:
    checked = 0
    for view in views_of(CLEAN, 60):
        luma = view.picture[..., 0]
        assert (view.picture.shape, view.picture.dtype) == ((SIDE, SIDE, 3), np.uint8)
        if len(view.boxes) == 0 or luma[0].any() or luma[-1].any() or luma[:, 0].any() or luma[:, -1].any():
            continue  # A bright rim hides where the ellipse ends.
        rows, columns = (np.flatnonzero((luma > 100).any(axis=axis)) for axis in (1, 0))
        seen = (columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])
        assert view.boxes[0] == pytest.approx(seen, abs=2.0 + 0.02 * max(seen[2:]))
        checked += 1
    assert checked > 10


def test_boxes_of_faces_cut_off_end_at_the_view() -> None:
    boxes = np.concatenate([view.boxes for view in views_of(CLEAN, 60)])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= SIDE).all()
    assert (boxes[:, 0] == 0).any() or (boxes[:, 1] == 0).any()


def test_landmarks_follow_the_pixels_and_keep_their_order() -> None:
    checked = 0
    for view in views_of(CLEAN, 60):
        if len(view.boxes) == 0 or (view.landmarks < 1).any() or (view.landmarks > SIDE - 2).any():
            continue
        if view.boxes[0, 2] < 25:
            continue
        right_eye, left_eye = view.landmarks[0, :2]
        assert right_eye[0] < left_eye[0]
        eyes = [int(view.picture[(*np.floor(eye[::-1]).astype(int), 0)]) for eye in (right_eye, left_eye)]
        assert min(eyes) < 200 < max(eyes)  # In a mirrored view the spot is on the other eye.
        checked += 1
    assert checked > 10


def test_a_mosaic_has_one_face_a_tile() -> None:
    counts = {len(view.boxes) for view in views_of(replace(CLEAN, mosaic=1.0, tilted=0.0), 10)}
    assert max(counts) > 1
    assert max(counts) <= MOST_TILES


def test_faces_too_small_or_mostly_outside_are_not_sure() -> None:
    small = replace(CLEAN, anchored=1.0, sizes=(4.0, 4.5 / SIDE))
    crowd = replace(ellipse(), boxes=np.array([[100, 60, 5, 5]], np.float32))
    for seed in range(10):
        view = draw_view([crowd] * MOST_TILES, small, SIDE, np.random.default_rng(seed))
        assert not view.sure[np.sqrt(view.boxes[:, 2:].prod(axis=1)) < 6].any()


def test_views_repeat_with_the_generator() -> None:
    one, two = (draw_view([ellipse()] * MOST_TILES, Views(), SIDE, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.picture, two.picture)
    assert np.array_equal(one.boxes, two.boxes)


def test_degraded_views_keep_shape_and_levels_and_leave_the_photograph_alone() -> None:
    photograph = ellipse()
    before = photograph.yuv().copy()
    always = Views(
        mosaic=0, occlusion=1, gray=0, colour=1, light=1, limited_range=1, blur=1, coarse=1, noise=0, compression=0
    )
    for seed in range(20):
        view = draw_view([photograph], always, SIDE, np.random.default_rng(seed))
        assert (view.picture.shape, view.picture.dtype) == ((SIDE, SIDE, 3), np.uint8)
        assert view.picture[..., 0].min() >= 16
        assert view.picture[..., 0].max() <= 235
    assert np.array_equal(photograph.yuv(), before)


def test_a_gray_view_has_no_colour() -> None:
    for view in views_of(replace(CLEAN, gray=1.0), 5):
        assert (view.picture[..., 1:] == 128).all()


@pytest.mark.parametrize("kind", ["noise", "compression"])
def test_noise_and_compression_change_pixels_a_little(kind: str) -> None:
    clean = draw_view([ellipse()], CLEAN, SIDE, np.random.default_rng(1)).picture.astype(int)
    changed = draw_view([ellipse()], replace(CLEAN, **{kind: 1.0}), SIDE, np.random.default_rng(1)).picture
    assert 0 < np.abs(changed - clean).mean() < 40
