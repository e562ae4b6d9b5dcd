"""What the student is taught in each cell, from a teacher's maps and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.errors import DatasetError
from fer_batch.training.detector import targets as t
from fer_batch.training.detector.views import View

SIDE = 128
CELLS = 16 * 16 + 8 * 8 + 4 * 4
BOX = (40.0, 40.0, 30.0, 34.0)


def view(*boxes: tuple[float, ...], score: float = 0.9, visible: float = 1.0) -> View:
    n = len(boxes)
    landmarks = np.array([[(x + w * a, y + h * a) for a in (0.2, 0.3, 0.5, 0.7, 0.8)] for x, y, w, h in boxes])
    return View(
        np.zeros((SIDE, SIDE), np.uint8),
        np.array(boxes, np.float32).reshape(n, 4),
        landmarks.astype(np.float32).reshape(n, 5, 2),
        np.full(n, score, np.float32),
        np.full(n, visible, np.float32),
    )


def seen(**cells: tuple[float, tuple[float, ...]]) -> NDArray[np.float32]:
    """A teacher's maps: nothing but `cells`, named c<number>, each a score and a box."""
    maps = np.zeros((CELLS, 15), np.float32)
    for name, (score, box) in cells.items():
        maps[int(name[1:])] = [score, *box, *[box[0]] * 10]
    return maps


def test_cells_in_the_order_of_the_outputs() -> None:
    grid = t.cells(64, 96)
    assert grid.shape == (8 * 12 + 4 * 6 + 2 * 3, 3)
    assert grid[[0, 1, 12, 96, 97, 120]].tolist() == [
        [0, 0, 8],
        [1, 0, 8],
        [0, 1, 8],
        [0, 0, 16],
        [1, 0, 16],
        [0, 0, 32],
    ]


def decoded(target: NDArray[np.float32], cell: int) -> list[float]:
    """As cv2.FaceDetectorYN decodes a box."""
    column, row, stride = t.cells(SIDE, SIDE)[cell]
    x, y, width, height = target[cell, t.BOX]
    w, h = np.exp(width) * stride, np.exp(height) * stride
    return [(column + x) * stride - w / 2, (row + y) * stride - h / 2, w, h]


def test_a_face_found_gets_the_labels_confidence_box_and_landmarks() -> None:
    target = t.make_targets(view(BOX), seen(c100=(0.5, (42, 42, 28, 30)), c101=(0.4, (41, 40, 30, 30))))
    assert target[100, t.SCORE] == pytest.approx(0.95)
    assert target[101, t.SCORE] == pytest.approx(0.76)
    assert np.count_nonzero(target[:, t.SCORE]) == 2
    assert (target[:, t.SCORE_WEIGHT] == 1).all()
    assert target[100, t.BOX_WEIGHT] == target[100, t.LANDMARKS_WEIGHT] == pytest.approx(0.95)
    assert decoded(target, 100) == pytest.approx(BOX, abs=1e-4)
    column, row, stride = t.cells(SIDE, SIDE)[100]
    nose = (target[100, t.LANDMARKS].reshape(5, 2)[2] + (column, row)) * stride
    assert nose == pytest.approx((55, 57), abs=1e-4)


@pytest.mark.parametrize(("size", "first", "last"), [(20, 0, 256), (70, 256, 320), (125, 320, 336)])
def test_a_face_missed_gets_a_bell_on_the_map_for_its_size(size: float, first: int, last: int) -> None:
    corner = (SIDE - size) / 2
    target = t.make_targets(view((corner, corner, size, size)), seen())
    taught = np.flatnonzero(target[:, t.SCORE])
    assert first <= taught.min() <= taught.max() < last
    assert target[taught, t.SCORE].max() == pytest.approx(0.95)
    for cell in taught:
        assert decoded(target, cell) == pytest.approx((corner, corner, size, size), abs=1e-3)


def test_what_no_label_supports_is_background() -> None:
    elsewhere = {"c5": (0.9, (90.0, 5.0, 20.0, 20.0))}
    for labels in (view(), view(BOX)):
        target = t.make_targets(labels, seen(**elsewhere))
        assert target[5, t.SCORE] == 0
        assert target[5, t.SCORE_WEIGHT] == 1


def test_an_unsure_face_is_taught_as_unsure() -> None:
    """By its label where the teacher says less, by the teacher where it says more."""
    for said, expected in ((0.32, 0.4), (0.5, 0.5)):
        target = t.make_targets(view(BOX, score=0.4), seen(c100=(said, BOX)))
        assert target[100, t.SCORE] == pytest.approx(expected)
        assert np.count_nonzero(target[:, t.SCORE]) == 1
    assert t.make_targets(view(BOX, score=0.4), seen())[:, t.SCORE].max() == pytest.approx(0.4)


def test_a_face_cut_off_stays_what_the_teacher_says() -> None:
    assert t.make_targets(view(BOX, visible=0.4), seen(c100=(0.5, BOX)))[100, t.SCORE] == pytest.approx(0.5)
    assert not t.make_targets(view(BOX, visible=0.4), seen())[:, t.SCORE].any()


def test_cells_on_a_face_too_small_do_not_count() -> None:
    target = t.make_targets(view((62.0, 62.0, 4.0, 4.0)), seen())
    assert not target[:, t.SCORE].any()
    uncounted = np.flatnonzero(target[:, t.SCORE_WEIGHT] == 0)
    assert 0 < len(uncounted) < 20


def test_unknown_landmarks_are_not_taught() -> None:
    labels = view(BOX)
    labels.landmarks[:] = np.nan
    target = t.make_targets(labels, seen(c100=(0.5, BOX)))
    assert target[100, t.BOX_WEIGHT] > 0
    assert target[100, t.LANDMARKS_WEIGHT] == 0
    assert np.isfinite(target).all()


def test_intersection_over_union() -> None:
    boxes = np.array([(0, 0, 2, 2), (5, 5, 1, 1)], np.float32)
    others = np.array([(1, 0, 2, 2), (0, 0, 2, 2), (9, 9, 0, 0)], np.float32)
    assert t.intersection_over_union(boxes, others) == pytest.approx(np.array([[1 / 3, 1, 0], [0, 0, 0]]))


def test_a_file_that_is_no_teacher_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(DatasetError, match=r"--teacher .*x\.onnx: OpenCV can't use it"):
        t.Teacher(tmp_path / "x.onnx")
