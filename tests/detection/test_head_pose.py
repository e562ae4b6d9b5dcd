"""Head angles of a face rendered at known ones, by a camera and with a head that are not the measuring ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.detection.head_pose import head_angles

#: A head in millimetres, by measure and not by our mean face: x to the right of the picture, y down, z away.
HEAD = np.array([(-31, 0, 0), (31, 0, 0), (0, 39, -28), (-26, 63, 2), (26, 63, 2)], np.float64)
TURNS = [(0, 0, 0), (20, 0, 0), (0, 20, 0), (0, 0, 25), (-30, 10, -15), (30, -20, 10), (-50, 15, 20), (60, -10, -30)]


def turned(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """The rotation: first the head leans, then it nods, then it turns."""
    (cy, cp, cr), (sy, sp, sr) = (function(np.radians([yaw, pitch, roll])) for function in (np.cos, np.sin))
    about_y = np.array([(cy, 0, -sy), (0, 1, 0), (sy, 0, cy)])
    about_x = np.array([(1, 0, 0), (0, cp, sp), (0, -sp, cp)])
    about_z = np.array([(cr, -sr, 0), (sr, cr, 0), (0, 0, 1)])
    return about_y @ about_x @ about_z


def rendered(yaw: float, pitch: float, roll: float, head: NDArray[np.float64] = HEAD) -> NDArray[np.float32]:
    """Landmarks in a picture taken from a metre away."""
    points = head @ turned(yaw, pitch, roll).T + (0, 0, 1000)
    return (points[:, :2] / points[:, 2:] * 1200 + (400, 300)).astype(np.float32)


@pytest.mark.parametrize("turn", TURNS)
def test_the_angles_of_a_rendered_head(turn: tuple[float, float, float]) -> None:
    assert head_angles(rendered(*turn)) == pytest.approx(turn, abs=6)


def test_signs() -> None:
    """The nose moves to the right, up; the left eye sinks."""
    straight, right, up, leaning = (rendered(*turn) for turn in ((0, 0, 0), (20, 0, 0), (0, 20, 0), (0, 0, 20)))
    eyes = [points[:2].mean(axis=0) for points in (straight, right, up)]
    nose = [points[2] - middle for points, middle in zip((straight, right, up), eyes, strict=True)]
    assert nose[1][0] > nose[0][0] + 3
    assert nose[2][1] < nose[0][1] - 3
    assert leaning[1, 1] > leaning[0, 1]
    assert [angles and angles[i] > 10 for i, angles in enumerate(map(head_angles, (right, up, leaning)))] == [True] * 3


def test_the_error_that_inexact_landmarks_bring() -> None:
    """Landmarks off by 3 % of the box's width: half of the angles within 6 degrees."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(100):
        turn = rng.uniform((-40, -20, -30), (40, 20, 30))
        points = rendered(*turn)
        found = head_angles(points + rng.normal(0, 0.03 * 2.1 * 62 * 1.2, points.shape) / np.sqrt(2))
        assert found is not None
        errors.append(np.abs(np.array(found) - turn))
    assert (np.median(errors, axis=0) < 6).all()


def test_size_and_place_do_not_matter() -> None:
    points = rendered(25, -10, 5)
    assert head_angles(points / 40 + 1000) == pytest.approx(head_angles(points), abs=0.1)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), 7.0)])
def test_what_is_no_face_has_no_angles(points: NDArray[np.float64]) -> None:
    assert head_angles(points) is None
