"""The loss: faces choose their cells by what the network says there (task-aligned assignment)."""

from __future__ import annotations

from typing import Any

from keras import ops

from fer_batch.detection import network
from fer_batch.training.detector.recipe import DetectorRecipe

#: A cell's fitness for a face: score x overlap to this power (Feng et al. 2021, "TOOD: Task-aligned One-stage Object
#: Detection").
_OVERLAP_POWER = 4.0
#: A face takes as many cells as the sum of its candidates' best overlaps, but at most so many (Ge et al. 2021,
#: "YOLOX").
_MOST_CELLS = 9
#: The score of the best cell of a face when its box does not overlap at all; 1 where it fits.
_LEAST_SCORE = 0.5


def detector_loss(recipe: DetectorRecipe, targets: dict[str, Any], outputs: Any) -> dict[str, Any]:
    """The parts of the loss, and their weighted sum as `loss`; scalars.

    Score: quality focal loss (Li et al. 2020, "Generalized Focal Loss", beta 2) over all cells. Box: distance-IoU loss
    (Zheng et al. 2020). Landmarks: mean absolute error in box sizes. All are sums divided by the sum of target scores.

    Args:
        recipe: For the weights of the parts.
        targets: The fields of `Targets`.
        outputs: The network's maps, as cells; float32 (views x cells, 15).
    """
    cells, allowed = targets["candidates"], targets["allowed"]
    faces, candidates = cells.shape
    logit = outputs[:, network.SCORE][:, 0]
    flat = ops.reshape(cells, (-1,))
    given, grid = ops.take(outputs, flat, axis=0), ops.take(targets["grid"], flat, axis=0)
    boxes = _boxes(given, grid)
    wanted = ops.repeat(targets["boxes"], candidates, axis=0)
    overlap, distance = _overlap(boxes, wanted)
    steady = ops.reshape(ops.stop_gradient(overlap), (faces, candidates))
    chances = ops.reshape(ops.sigmoid(ops.stop_gradient(ops.take(logit, flat))), (faces, candidates))
    taken, fitness = _assign(cells, allowed, chances, steady, logit.shape[0])
    quality = _target_scores(taken, fitness, steady)
    cell_score = _largest(ops.reshape(quality, (-1,)), flat, logit.shape[0])
    total = ops.maximum(ops.sum(quality), 1.0)
    probability = ops.sigmoid(logit)
    cross_entropy = ops.maximum(logit, 0) - logit * cell_score + ops.log1p(ops.exp(-ops.abs(logit)))
    counts = ops.where(cell_score > 0, 1.0, targets["counts"])
    score = ops.sum(counts * ops.square(cell_score - ops.stop_gradient(probability)) * cross_entropy) / total
    weight = ops.reshape(quality, (-1,))
    box = ops.sum(weight * (1 - overlap + distance)) / total
    known = weight * ops.repeat(targets["has_landmarks"], candidates)
    size = ops.sqrt(wanted[:, 2:3] * wanted[:, 3:4])
    points = _points(given, grid)
    error = ops.mean(ops.abs(points - ops.repeat(targets["landmarks"], candidates, axis=0)) / size, axis=-1)
    landmarks = ops.sum(known * ops.minimum(error, 1.0)) / total
    loss = score + recipe.box_loss * box + recipe.landmark_loss * landmarks
    return {"loss": loss, "score": score, "box": box, "landmarks": landmarks}


def _assign(cells: Any, allowed: Any, chances: Any, overlap: Any, count: int) -> tuple[Any, Any]:
    """Which candidates answer for which face (n, CANDIDATES), 0 or 1, each cell for one face; and their fitness."""
    fitness = allowed * (ops.sqrt(chances) * ops.maximum(overlap, 0.0) ** _OVERLAP_POWER + 1e-9 * (1 + overlap))
    best, _ = ops.top_k(overlap * allowed, _MOST_CELLS)
    wanted = ops.clip(ops.round(ops.sum(best, axis=1)), 1, _MOST_CELLS)
    ranked, _ = ops.top_k(fitness, _MOST_CELLS)
    last = ops.take_along_axis(ranked, ops.cast(wanted, "int32")[:, None] - 1, axis=1)
    taken = allowed * ops.cast(fitness >= last, "float32")
    strongest = _largest(ops.reshape(taken * fitness, (-1,)), ops.reshape(cells, (-1,)), count)
    own = ops.take(strongest, ops.reshape(cells, (-1,)))
    return taken * ops.cast(fitness >= ops.reshape(own, fitness.shape), "float32"), fitness


def _target_scores(taken: Any, fitness: Any, overlap: Any) -> Any:
    """From 0.5 to 1 by overlap for a face's fittest cell, less for its others by their fitness."""
    taken_fitness = taken * fitness
    relative = taken_fitness / ops.maximum(ops.max(taken_fitness, axis=1, keepdims=True), 1e-12)
    return taken * ops.sqrt(relative) * (_LEAST_SCORE + (1 - _LEAST_SCORE) * ops.clip(overlap, 0.0, 1.0))


def _largest(values: Any, segments: Any, count: int) -> Any:
    """The largest non-negative value of each of `count` segments, 0 where there is none."""
    return ops.maximum(ops.segment_max(values, segments, num_segments=count), 0.0)


def _boxes(given: Any, grid: Any) -> Any:
    size = ops.exp(ops.clip(given[:, network.BOX][:, 2:], -6.0, 6.0)) * grid[:, 2:]
    centre = (grid[:, :2] + given[:, network.BOX][:, :2]) * grid[:, 2:]
    return ops.concatenate([centre - size / 2, size], axis=1)


def _points(given: Any, grid: Any) -> Any:
    return (given[:, network.LANDMARKS] + ops.tile(grid[:, :2], (1, 5))) * grid[:, 2:]


def _overlap(boxes: Any, others: Any) -> tuple[Any, Any]:
    """Intersection over union of boxes in pairs, and the squared distance of their centres over that of the corners
    around both."""
    ends, other_ends = boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:]
    inside = ops.maximum(ops.minimum(ends, other_ends) - ops.maximum(boxes[:, :2], others[:, :2]), 0.0)
    common = inside[:, 0] * inside[:, 1]
    union = boxes[:, 2] * boxes[:, 3] + others[:, 2] * others[:, 3] - common
    around = ops.maximum(ends, other_ends) - ops.minimum(boxes[:, :2], others[:, :2])
    apart = (boxes[:, :2] + ends - others[:, :2] - other_ends) / 2
    return common / ops.maximum(union, 1e-6), ops.sum(ops.square(apart), axis=1) / ops.maximum(
        ops.sum(ops.square(around), axis=1), 1e-6
    )
