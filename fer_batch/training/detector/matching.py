"""Match detections to labelled faces, and average precision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.training.detector.targets import intersection_over_union

#: Intersection over union from which a detection is the face it lies on.
OVERLAP = 0.5


@dataclass(frozen=True)
class Matches:
    """Detections of one picture, matched to its faces.

    Attributes:
        scores: Of the detections, (n,).
        hits: Which of them are faces that count, (n,).
        counts: Which of them count at all, (n,).
        found: Which of the picture's labels were found, (m,).
        faces: How many faces count.
    """

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    found: NDArray[np.bool_]
    faces: int


def match(
    boxes: NDArray[np.floating], scores: NDArray[np.float64], labels: NDArray[np.floating], count: NDArray[np.bool_]
) -> Matches:
    """Match detections (n, 4), best first, to the labels (m, 4) they overlap by half; each label is found once.

    Args:
        boxes: Detections: x, y, width, height.
        scores: Their scores, (n,).
        labels: Labelled faces, in the same pixels.
        count: Which labels count, (m,); a detection on another one counts neither way.
    """
    closeness = intersection_over_union(boxes, labels)
    overlap = closeness >= OVERLAP
    hits, free = np.zeros(len(boxes), bool), count.copy()
    order = np.argsort(-scores, kind="stable")
    for row in order[overlap[order][:, count].any(axis=1)]:
        matching = np.flatnonzero(free & overlap[row])
        if len(matching):
            hits[row] = True
            free[matching[closeness[row, matching].argmax()]] = False
    counts = hits | ~overlap[:, ~count].any(axis=1)
    return Matches(scores, hits, counts, count & ~free, int(count.sum()))


def average_precision(pictures: Iterable[Matches]) -> float | None:
    """Area under the envelope of precision over recall of all pictures together (as Pascal VOC has it since 2010); None
    without a face."""
    matches = list(pictures)
    faces = sum(picture.faces for picture in matches)
    if not faces:
        return None
    counts = np.concatenate([picture.counts for picture in matches])
    scores = np.concatenate([picture.scores for picture in matches])[counts]
    hits = np.concatenate([picture.hits for picture in matches])[counts][np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / faces)
