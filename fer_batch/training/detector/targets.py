"""What the network should say of a view: candidate cells for each face, and cells that do not count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.network import STRIDES, cells
from fer_batch.training.detector.views import View

#: Sizes of faces (square root of the area) that a map may learn, in its strides: the first and the last map have no
#: lower and no upper bound.
_SIZES = (1.2, 10.0)
#: Cells across and down around a face's centre, on each map that may learn it.
_AROUND = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)])
#: Candidate cells of a face.
CANDIDATES = len(STRIDES) * len(_AROUND)


@dataclass(frozen=True)
class Targets:
    """What a batch of views teaches, n faces in all.

    Attributes:
        candidates: Cells that may answer for each face, counted through the whole batch; int32 (n, CANDIDATES).
        allowed: Which of them there are; float32 (n, CANDIDATES), 0 or 1.
        boxes: x, y, width, height in pixels; float32 (n, 4).
        landmarks: x and y of five points in pixels, 0 where unknown; float32 (n, 10).
        has_landmarks: 0 or 1; float32 (n,).
        counts: Whether a cell counts as background where no face takes it: 0 on faces that nobody is sure of;
            float32 (views x cells,).
        grid: Column, row and stride of each cell of the batch; float32 (views x cells, 3).
    """

    candidates: NDArray[np.int32]
    allowed: NDArray[np.float32]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    has_landmarks: NDArray[np.float32]
    counts: NDArray[np.float32]
    grid: NDArray[np.float32]


def make_targets(views: list[View]) -> Targets:
    """The targets of views of one size."""
    side = len(views[0].picture)
    grid = cells(side, side)
    found = [candidate_cells(view.boxes[view.sure], side) for view in views]
    boxes = np.concatenate([view.boxes[view.sure] for view in views])
    landmarks = np.concatenate([view.landmarks[view.sure] for view in views]).reshape(-1, 10)
    known = np.isfinite(landmarks).all(axis=1)
    return Targets(
        np.concatenate([cell + number * len(grid) for number, (cell, _) in enumerate(found)]).astype(np.int32),
        np.concatenate([allowed for _, allowed in found]).astype(np.float32),
        boxes.astype(np.float32),
        np.where(known[:, None], landmarks, 0).astype(np.float32),
        known.astype(np.float32),
        np.concatenate([_counts(view, grid) for view in views]),
        np.tile(grid, (len(views), 1)),
    )


def candidate_cells(boxes: NDArray[np.float32], side: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The cells of a view that may answer for each of its faces: the nine nearest on the maps for its size.

    Returns:
        Cells in the order of the outputs, and which of them there are; (n, CANDIDATES) each.
    """
    centres, sizes = boxes[:, :2] + boxes[:, 2:] / 2, np.sqrt(boxes[:, 2:].prod(axis=1))
    indices, allowed, first = [], [], 0
    for stride in STRIDES:
        across = side // stride
        low = 0.0 if stride == STRIDES[0] else _SIZES[0] * stride
        high = np.inf if stride == STRIDES[-1] else _SIZES[1] * stride
        at = np.round(centres / stride).astype(np.int64)[:, None] + _AROUND
        inside = ((at >= 0) & (at < across)).all(axis=2)
        fits = inside & ((sizes >= low) & (sizes < high))[:, None]
        indices.append(np.where(fits, first + at[..., 1] * across + at[..., 0], 0))
        allowed.append(fits)
        first += across**2
    return np.concatenate(indices, axis=1), np.concatenate(allowed, axis=1)


def _counts(view: View, grid: NDArray[np.float32]) -> NDArray[np.float32]:
    counts = np.ones(len(grid), np.float32)
    points = grid[:, :2] * grid[:, 2:]
    for x, y, width, height in view.boxes[~view.sure]:
        apart = np.abs(points - (x + width / 2, y + height / 2))
        counts[(apart <= 0.6 * np.array((width, height)) + 4).all(axis=1)] = 0
    return counts


def intersection_over_union(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of every pair of boxes x, y, width, height; (n, 4) and (m, 4) to (n, m)."""
    a, b = boxes[:, None].astype(float), others[None].astype(float)
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    inside = np.clip(high - low, 0, None).prod(axis=-1)
    union = a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - inside
    return np.asarray(inside / np.maximum(union, 1e-9))
