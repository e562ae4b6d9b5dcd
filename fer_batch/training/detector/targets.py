"""What the network should say in each cell of its maps: the teacher's maps, corrected by the labels.

A cell's score is sqrt(class x objectness), the number that cv2.FaceDetectorYN ranks faces by. The teacher gives it for
every cell of a clean view, without any scheme that assigns faces to cells. Then

- a labelled face gets the confidence of its label, which was made on a larger picture, at its best cell, and its other
  cells are raised alike; box and landmarks are the label's, which are finer than the teacher's here;
- a labelled face that the teacher misses gets a small bell of scores around its centre;
- what the teacher sees where no label is becomes background: on photographs without a face, everything;
- a face cut off by the view's edge stays what the teacher says;
- cells on faces too small to be learnt do not count.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.network import STRIDES, cells, in_pixels
from fer_batch.errors import DatasetError
from fer_batch.training.detector.photographs import SURE
from fer_batch.training.detector.views import View

#: Channels of a target: score, its weight, the box's and the landmarks' weight, the box (4), the landmarks (10).
SCORE, SCORE_WEIGHT, BOX_WEIGHT, LANDMARKS_WEIGHT = range(4)
BOX, LANDMARKS = slice(4, 8), slice(8, 18)
CHANNELS = 18

#: Sizes (square root of the area, pixels) from which a face belongs to the second and to the third map; measured as
#: where the teacher's scores on one map overtake those on the finer one.
_LEVEL_SIZES = (52.0, 115.0)
_SMALLEST = 5.0
_FOUND = 0.3
_SAME = 0.35
_MOSTLY_VISIBLE = 0.7
_LEAST_SCORE = 0.05


class Teacher:
    """A detector in the layout of cv2.FaceDetectorYN, for colour or gray, asked for all it sees. Not to be shared by
    threads."""

    def __init__(self, model_file: Path) -> None:
        """Load the ONNX file. Raises DatasetError where it can't be used."""
        self._names = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
        try:
            self._net = cv2.dnn.readNet(str(model_file))
            self._channels = 3
            try:
                self.look(np.zeros((64, 64), np.uint8))
            except cv2.error:
                self._channels = 1
                self.look(np.zeros((64, 64), np.uint8))
        except (cv2.error, KeyError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise DatasetError(f"--teacher {model_file}: OpenCV can't use it as YuNet ({reason})") from error

    def look(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Score, box (x, y, width, height) and landmarks in pixels for each of `cells`; float32 (cells, 15).

        `picture`: gray, uint8 (h, w), sides multiples of 32.
        """
        self._net.setInput(cv2.dnn.blobFromImage(cv2.merge([picture] * self._channels)))
        outputs = dict(zip(self._names, self._net.forward(self._names), strict=True))
        cls, obj, box, landmarks = (
            np.concatenate([outputs[f"{kind}_{stride}"][0] for stride in STRIDES])
            for kind in ("cls", "obj", "bbox", "kps")
        )
        score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
        boxes, points = in_pixels(cells(*picture.shape), box, landmarks)
        return np.concatenate([score, boxes, points.reshape(-1, 10)], axis=1)


def make_targets(view: View, seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """The targets of a view from what the teacher sees on it; float32 (cells, 18), boxes and landmarks in the units of
    cv2.FaceDetectorYN."""
    grid = cells(*view.picture.shape)
    active = np.flatnonzero(seen[:, 0] > _LEAST_SCORE)
    score = np.zeros(len(grid), np.float32)
    weight = np.ones(len(grid), np.float32)
    faces = seen[:, 1:].copy()
    owner = np.full(len(grid), -1)
    if len(view.boxes) and len(active):
        overlap = intersection_over_union(seen[active, 1:5], view.boxes)
        owner[active] = np.where(overlap.max(axis=1) >= _SAME, overlap.argmax(axis=1), -1)
        score[owner >= 0] = seen[owner >= 0, 0]
    for face in range(len(view.boxes)):
        owned = np.flatnonzero(owner == face)
        _teach_face(view, face, owned, grid, score, weight, faces)
    return _encoded(grid, score, weight, faces)


def _teach_face(
    view: View,
    face: int,
    owned: NDArray[np.int64],
    grid: NDArray[np.float32],
    score: NDArray[np.float32],
    weight: NDArray[np.float32],
    faces: NDArray[np.float32],
) -> None:
    """Correct the score, its weight, and box and landmarks where one face is."""
    box, sureness = view.boxes[face], float(view.scores[face])
    confidence = (1 + sureness) / 2 if sureness >= SURE else sureness
    size = np.sqrt(box[2] * box[3])
    found = len(owned) > 0 and score[owned].max() >= _FOUND
    if not found and view.visible[face] >= _MOSTLY_VISIBLE:
        if size < _SMALLEST:
            centres = (grid[:, :2] + 0.5) * grid[:, 2:]
            near = np.abs(centres - (box[:2] + box[2:] / 2)).max(axis=1) <= grid[:, 2] / 2 + size
            weight[near & (score < _FOUND)] = 0
            return
        bell = confidence * _bell(box, size, grid)
        owned = np.flatnonzero(bell > np.maximum(score, 0.2 * confidence))  # Another face's cells stay its own.
        score[owned] = bell[owned]
    elif found and view.visible[face] >= _MOSTLY_VISIBLE:
        score[owned] = np.minimum(score[owned] * max(1.0, confidence / score[owned].max()), 1)
    faces[owned] = np.concatenate([box, view.landmarks[face].ravel()])


def _bell(box: NDArray[np.float32], size: float, grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of all cells that fall from 1 at the one nearest to the middle of a box on the map for its size."""
    stride = STRIDES[int(np.searchsorted(_LEVEL_SIZES, size, side="right"))]
    distance = np.linalg.norm((grid[:, :2] + 0.5) * stride - (box[:2] + box[2:] / 2), axis=1)
    bell = np.exp(-0.5 * (distance / max(0.5 * stride, 0.18 * size)) ** 2) * (grid[:, 2] == stride)
    return np.asarray(bell / max(float(bell.max()), 1e-6), np.float32)


def _encoded(
    grid: NDArray[np.float32], score: NDArray[np.float32], weight: NDArray[np.float32], faces: NDArray[np.float32]
) -> NDArray[np.float32]:
    at, stride = grid[:, :2], grid[:, 2:]
    target = np.zeros((len(grid), CHANNELS), np.float32)
    target[:, SCORE], target[:, SCORE_WEIGHT] = score, weight
    target[:, BOX_WEIGHT] = np.where(score > 0.1, score * weight, 0)
    target[:, LANDMARKS_WEIGHT] = np.where(np.isfinite(faces[:, 4:]).all(axis=1), target[:, BOX_WEIGHT], 0)
    target[:, BOX] = np.concatenate(
        [(faces[:, :2] + faces[:, 2:4] / 2) / stride - at, np.log(np.maximum(faces[:, 2:4], 1) / stride)], axis=1
    )
    points = faces[:, 4:].reshape(-1, 5, 2) / stride[:, None] - at[:, None]
    target[:, LANDMARKS] = points.reshape(-1, 10)
    for part, weighed_by in ((BOX, BOX_WEIGHT), (LANDMARKS, LANDMARKS_WEIGHT)):
        target[:, part] *= target[:, weighed_by, None] > 0
    np.nan_to_num(target, copy=False)
    return target


def intersection_over_union(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of every pair of boxes x, y, width, height; (n, 4) and (m, 4) to (n, m)."""
    a, b = boxes[:, None].astype(float), others[None].astype(float)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    inside = np.clip(high - low, 0, None).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - inside
    return np.asarray(inside / np.maximum(union, 1e-9))
