"""The figures of a face detector on labelled photographs, whatever the detector: found by the job's own code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.base import Detector
from fer_batch.detection.head_pose import head_angles
from fer_batch.detection.search import find_faces
from fer_batch.records import Detection
from fer_batch.training.detector.photographs import SURE, Photograph
from fer_batch.training.detector.targets import intersection_over_union

#: Average precision is also told for faces from these sizes up: pixels of the searched picture, the box's mean side.
SIZES = (8, 12, 16, 24, 32)

_OVERLAP = 0.5
_LOW_SCORE = 0.02
#: Head angles are compared on faces from this width up, in pixels of the photograph, and on at least so many.
_LEAST_WIDTH, _LEAST_PAIRS = 24.0, 20


@dataclass(frozen=True)
class _Search:
    """What a detector found on a photograph; `reduction`: the searched picture's size over the photograph's."""

    photograph: Photograph
    faces: tuple[Detection, ...]
    reduction: float

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Boxes in pixels of the photograph, (n, 4)."""
        return np.array([(one.x, one.y, one.width, one.height) for one in self.faces]).reshape(-1, 4)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores, (n,); 1 where the detector gives none."""
        return np.array([1.0 if one.score is None else one.score for one in self.faces])


def evaluate_detector(config: DetectorConfig, photographs: Sequence[Photograph]) -> dict[str, Any]:
    """The figures of a detector; fractions, not per cent.

    `average_precision`: at an overlap of 0.5 over all scores (area under the precision envelope, as Pascal VOC has it
    since 2010), on photographs with faces; unsure labels count neither way; `average_precision_from`: the same with
    smaller faces counting neither way. At the detector's own threshold: `recall`, `precision`, `landmark_error` (the
    median over found faces with known landmarks of the mean distance in box widths), `false_per_100`: false faces on
    100 photographs without a face, `head_angles` (by angle: the median `error` in degrees and the `correlation` with
    the angles of the labels' landmarks; None for too few faces). `score_for_1_in_100`: the threshold that leaves one
    of those.
    """
    ranked_config = config if config.name == "haar" else replace(config, min_score=_LOW_SCORE)
    ranked = _search(ranked_config, photographs)
    chosen = ranked if config.name == "haar" else _search(config, photographs)
    with_faces = [one for one in ranked if not one.photograph.face_free]
    figures: dict[str, Any] = {"detector": config.name, "longest_side": config.longest_side}
    figures["photographs"], figures["faces"] = len(with_faces), sum(int(_sure(one).sum()) for one in with_faces)
    figures["average_precision"] = average_precision(_judged(one, 0.0) for one in with_faces)
    figures["average_precision_from"] = {
        str(size): average_precision(_judged(one, size) for one in with_faces) for size in SIZES
    }
    at_threshold = [_judged(one, 0.0) for one in chosen if not one.photograph.face_free]
    hits = sum(int(judged.hits.sum()) for judged in at_threshold)
    false = sum(int((~judged.hits & judged.counts).sum()) for judged in at_threshold)
    figures["recall"] = hits / max(1, figures["faces"])
    figures["precision"] = hits / max(1, hits + false)
    figures["landmark_error"] = _landmark_error(chosen)
    figures["head_angles"] = _head_angles(chosen)
    figures |= _false_faces(ranked, chosen)
    return figures


@dataclass(frozen=True)
class Judged:
    """Detections of one picture: their scores, which are right, which count at all; and the faces there were."""

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    faces: int


def judge(
    boxes: NDArray[np.floating], scores: NDArray[np.float64], truth: NDArray[np.floating], sure: NDArray[np.bool_]
) -> Judged:
    """Match detections (n, 4), best first, to the faces (m, 4) they overlap by half; each sure face is found once.

    A detection on a face that is not `sure` counts neither way.
    """
    closeness = intersection_over_union(boxes, truth)
    overlap = closeness >= _OVERLAP
    hits, free = np.zeros(len(boxes), bool), sure.copy()
    order = np.argsort(-scores, kind="stable")
    for row in order[overlap[order][:, sure].any(axis=1)]:
        matching = np.flatnonzero(free & overlap[row])
        if len(matching):
            hits[row] = True
            free[matching[closeness[row, matching].argmax()]] = False
    counts = hits | ~overlap[:, ~sure].any(axis=1)
    return Judged(scores, hits, counts, int(sure.sum()))


def average_precision(pictures: Iterable[Judged]) -> float:
    """Area under the envelope of precision over recall of all pictures together; NaN without a face."""
    judged = list(pictures)
    faces = sum(one.faces for one in judged)
    if not faces:
        return float("nan")
    counts = np.concatenate([one.counts for one in judged])
    scores = np.concatenate([one.scores for one in judged])[counts]
    hits = np.concatenate([one.hits for one in judged])[counts][np.argsort(-scores, kind="stable")]
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / faces)


def report(figures: dict[str, Any]) -> str:
    """The figures as text for a terminal."""
    lines = [
        f"{figures['detector']}, longest side {figures['longest_side']}: {figures['photographs']} photographs with "
        f"{figures['faces']} faces, {figures['face_free']} without",
        f"  average precision          {figures['average_precision']:.4f}",
    ]
    lines += [
        f"    faces from {size:>3} px        {value:.4f}" for size, value in figures["average_precision_from"].items()
    ]
    for key in ("recall", "precision", "landmark_error", "false_per_100", "score_for_1_in_100"):
        lines.append(f"  {key:26} " + ("-" if figures[key] is None else f"{figures[key]:.4f}"))
    for name, angle in (figures["head_angles"] or {}).items():
        lines.append(f"  {name:26} {angle['error']:.1f} degrees off, correlation {angle['correlation']:.2f}")
    return "\n".join(lines)


def _search(config: DetectorConfig, photographs: Sequence[Photograph]) -> list[_Search]:
    detector: Detector = create_detector(config)
    found = []
    for photograph in photographs:
        frame = photograph.frame(detector.needs_colour)
        reduction = min(1.0, config.longest_side / max(frame.width, frame.height))
        found.append(_Search(photograph, find_faces(frame, detector, config), reduction))
    return found


def _sure(search: _Search) -> NDArray[np.bool_]:
    return np.asarray(search.photograph.scores >= SURE)


def _judged(search: _Search, smallest: float) -> Judged:
    sizes = np.sqrt(search.photograph.boxes[:, 2:].prod(axis=1)) * search.reduction
    return judge(search.boxes, search.scores, search.photograph.boxes, _sure(search) & (sizes >= smallest))


def _found_pairs(
    searches: Sequence[_Search],
) -> Iterator[tuple[Detection, NDArray[np.float32], NDArray[np.float32], float]]:
    """Found faces that have landmarks, each with those landmarks and the label's, (5, 2), and the width of the label's
    box, all in pixels of the photograph; faces whose label has none are left out."""
    for search in searches:
        labels = search.photograph
        overlap = intersection_over_union(labels.boxes, search.boxes)
        for face in np.flatnonzero(_sure(search) & (overlap >= _OVERLAP).any(axis=1)):
            found = search.faces[int(overlap[face].argmax())]
            if found.landmarks is not None and np.isfinite(labels.landmarks[face]).all():
                yield found, found.landmarks, labels.landmarks[face], float(labels.boxes[face, 2])


def _landmark_error(searches: Sequence[_Search]) -> float | None:
    errors = [
        np.linalg.norm(landmarks - labelled, axis=1).mean() / width
        for _, landmarks, labelled, width in _found_pairs(searches)
    ]
    return float(np.median(errors)) if errors else None


def _head_angles(searches: Sequence[_Search]) -> dict[str, dict[str, float]] | None:
    """By angle: the median error in degrees, and the correlation, which a detector that gives every face the same
    landmarks can't have."""
    pairs = [
        (found.angles, labelled)
        for found, _, landmarks, width in _found_pairs(searches)
        if width >= _LEAST_WIDTH and found.angles is not None and (labelled := head_angles(landmarks)) is not None
    ]
    if len(pairs) < _LEAST_PAIRS:
        return None
    found, labelled = np.array(pairs).transpose(1, 2, 0)
    with np.errstate(invalid="ignore"):  # One angle for all has no correlation.
        return {
            name: {
                "error": float(np.median(np.abs(a - b))),
                "correlation": float(np.nan_to_num(np.corrcoef(a, b)[0, 1])),
            }
            for name, a, b in zip(("yaw", "pitch", "roll"), found, labelled, strict=True)
        }


def _false_faces(ranked: Sequence[_Search], chosen: Sequence[_Search]) -> dict[str, Any]:
    face_free = [one for one in chosen if one.photograph.face_free]
    figures: dict[str, Any] = {"face_free": len(face_free), "false_per_100": None, "score_for_1_in_100": None}
    if face_free:
        figures["false_per_100"] = 100 * sum(len(one.faces) for one in face_free) / len(face_free)
        scores = np.concatenate([one.scores for one in ranked if one.photograph.face_free])
        allowed = len(face_free) // 100
        worst = np.sort(scores)[::-1]
        figures["score_for_1_in_100"] = float(worst[allowed]) if len(worst) > allowed else 0.0
    return figures
