"""Which cells may answer for a face, and which do not count."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.detection.network import STRIDES, cells
from fer_batch.training.detector.targets import CANDIDATES, candidate_cells, intersection_over_union, make_targets
from fer_batch.training.detector.views import View

SIDE = 256


def view(boxes: list[tuple[float, ...]], sure: list[bool]) -> View:
    landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    return View(picture, np.array(boxes, np.float32).reshape(-1, 4), landmarks, np.array(sure, bool))


def strides_of(size: float) -> list[int]:
    boxes = np.array([[128 - size / 2, 128 - size / 2, size, size]], np.float32)
    found, allowed = candidate_cells(boxes, SIDE)
    grid: NDArray[np.float32] = cells(SIDE, SIDE)
    return sorted({int(stride) for stride in grid[found[0][allowed[0]], 2]})


@pytest.mark.parametrize(("size", "strides"), [(6, [8]), (24, [8, 16]), (100, [16, 32, 64]), (250, [32, 64])])
def test_a_face_may_be_learnt_on_the_maps_for_its_size(size: float, strides: list[int]) -> None:
    assert strides_of(size) == strides


def test_candidates_lie_around_the_centre_and_inside_the_view() -> None:
    found, allowed = candidate_cells(np.array([[0, 0, 20, 20], [100, 120, 30, 40]], np.float32), SIDE)
    assert found.shape == allowed.shape == (2, CANDIDATES)
    grid = cells(SIDE, SIDE)
    for face, centre in enumerate([(10, 10), (115, 140)]):
        chosen = grid[found[face][allowed[face]]]
        assert (np.abs(chosen[:, :2] * chosen[:, 2:] - centre).max(axis=1) <= 1.5 * chosen[:, 2]).all()
    assert found.max() < len(grid)
    assert found.min() >= 0


def test_targets_of_a_batch_number_cells_through_all_views() -> None:
    views = [
        view([(100, 100, 40, 40)], [True]),
        view([], []),
        view([(100, 100, 40, 40), (10, 10, 30, 30)], [True, False]),
    ]
    targets = make_targets(views)
    count = len(cells(SIDE, SIDE))
    assert targets.grid.shape == (3 * count, 3)
    assert targets.candidates.shape == (2, CANDIDATES)
    allowed = targets.allowed.astype(bool)
    assert np.array_equal(targets.candidates[1][allowed[1]], targets.candidates[0][allowed[0]] + 2 * count)
    assert targets.has_landmarks.tolist() == [0, 0]
    assert np.isfinite(targets.landmarks).all()


def test_cells_on_an_unsure_face_do_not_count_as_background() -> None:
    targets = make_targets([view([(96, 96, 32, 32)], [False])])
    points = targets.grid[:, :2] * targets.grid[:, 2:]
    inside = (np.abs(points - 112) <= 16).all(axis=1)
    far = (np.abs(points - 112) > 40).any(axis=1)
    assert (targets.counts[inside] == 0).all()
    assert (targets.counts[far] == 1).all()


def test_maps_cover_a_view_in_the_order_of_the_outputs() -> None:
    grid = cells(SIDE, SIDE)
    assert [int(stride) for stride in np.unique(grid[:, 2])] == list(STRIDES)
    assert len(grid) == sum((SIDE // stride) ** 2 for stride in STRIDES)


def test_intersection_over_union_by_hand() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5]], np.float32)
    assert intersection_over_union(a, b)[0] == pytest.approx([1, 1 / 3, 0])
