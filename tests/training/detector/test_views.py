"""The labels of a view follow its pixels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.views import View, Views, degrade, draw_view

VIEWS = Views(side=128, mosaic=0.0)


def ellipse() -> Photograph:
    """A white ellipse, as a face, on black, with a gray spot where its right eye is."""
    picture = np.zeros((150, 200), np.uint8)
    cv2.ellipse(picture, (100, 60), (20, 30), 0, 0, 360, 255, -1)
    cv2.circle(picture, (90, 50), 3, 128, -1)
    landmarks = np.array([(90, 50), (110, 50), (100, 60), (92, 72), (108, 72)], np.float32) + 0.5
    box = np.array([[80, 30, 41, 61]], np.float32)
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    return Photograph("x", "a/b", encoded, False, box, landmarks[None], np.array([0.9], np.float32))


def test_boxes_follow_the_pixels() -> None:
    checked = 0
    for seed in range(60):
        view = draw_view([ellipse()], VIEWS, np.random.default_rng(seed))
        assert (view.picture.shape, view.picture.dtype) == ((128, 128), np.uint8)
        if len(view.boxes) == 0 or view.visible[0] < 1 or view.picture[0].any() or view.picture[-1].any():
            continue  # A bright rim hides where the ellipse ends.
        rows, columns = (np.flatnonzero((view.picture > 100).any(axis=axis)) for axis in (1, 0))
        if columns[0] == 0 or columns[-1] == 127:
            continue
        seen = (columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])
        assert view.boxes[0] == pytest.approx(seen, abs=2.0 + 0.02 * max(seen[2:]))
        checked += 1
    assert checked > 10


def test_landmarks_follow_the_pixels_and_keep_their_order() -> None:
    checked = 0
    for seed in range(60):
        view = draw_view([ellipse()], VIEWS, np.random.default_rng(seed))
        if len(view.boxes) == 0 or view.visible[0] < 1 or view.boxes[0, 2] < 25:
            continue
        right_eye, left_eye = view.landmarks[0, :2]
        assert right_eye[0] < left_eye[0]
        eyes = [int(view.picture[tuple(np.floor(eye[::-1]).astype(int))]) for eye in (right_eye, left_eye)]
        assert min(eyes) < 200 < max(eyes)  # In a mirrored view the spot is on the other eye.
        checked += 1
    assert checked > 10


def test_a_mosaic_is_four_views_with_their_faces() -> None:
    views = replace(VIEWS, mosaic=1.0, tilted=0.0)
    for seed in range(10):
        view = draw_view([ellipse()] * 4, views, np.random.default_rng(seed))
        assert view.picture.shape == (128, 128)
        middles = view.boxes[:, :2] + view.boxes[:, 2:] / 2
        inside = middles[(view.visible > 0.9)]
        assert len({tuple(tile) for tile in inside // 64}) == len(inside)


def test_views_repeat_with_the_generator() -> None:
    one, two = (draw_view([ellipse()] * 4, Views(side=128), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.picture, two.picture)
    assert np.array_equal(one.boxes, two.boxes)


def test_degrading_keeps_shape_and_leaves_the_view_alone() -> None:
    view = draw_view([ellipse()], VIEWS, np.random.default_rng(1))
    before = view.picture.copy()
    always = replace(
        VIEWS, occlusion=1.0, light=1.0, limited_range=1.0, blur=1.0, coarse=1.0, noise=1.0, compression=1.0
    )
    for seed in range(20):
        picture = degrade(view, always, np.random.default_rng(seed))
        assert (picture.shape, picture.dtype) == ((128, 128), np.uint8)
        assert picture.min() >= 16
        assert picture.max() <= 235
        assert not np.array_equal(picture, before)
    assert np.array_equal(view.picture, before)


def test_nothing_is_degraded_where_nothing_is_asked() -> None:
    never = Views(occlusion=0, light=0, limited_range=0, blur=0, coarse=0, noise=0, compression=0)
    view = View(np.full((64, 64), 90, np.uint8), *(np.zeros((0, n), np.float32) for n in (4, 10, 1, 1)))
    assert np.array_equal(degrade(view, never, np.random.default_rng(0)), view.picture)
