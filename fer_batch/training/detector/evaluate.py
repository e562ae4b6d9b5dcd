"""The figures of a face detector on labelled photographs, whatever the detector: found by the code of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.base import Detector
from fer_batch.detection.head_pose import head_angles
from fer_batch.detection.search import find_faces
from fer_batch.errors import DatasetError
from fer_batch.records import Detection
from fer_batch.training.detector.matching import OVERLAP, Matches, average_precision, match
from fer_batch.training.detector.photographs import SURE, Photograph
from fer_batch.training.detector.targets import intersection_over_union

#: Average precision is also given for faces from these sizes up: pixels of the searched picture, the box's mean side.
SIZES = (8, 16, 24, 32)
#: Recall is given between these sizes.
SIZE_EDGES = (0, 8, 16, 24, 32, 48, 80, float("inf"))
#: Thresholds at which recall is set against false faces.
CURVE = (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
_LOW_SCORE = 0.02
#: Head angles are compared on faces from this width up, in pixels of the photograph, and on at least so many.
_SMALLEST_WIDTH, _FEWEST_PAIRS = 24.0, 20


@dataclass(frozen=True)
class _Search:
    """What a detector found on a photograph; `reduction`: the searched picture's size over the photograph's."""

    photograph: Photograph
    faces: tuple[Detection, ...]
    reduction: float

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Boxes in pixels of the photograph, (n, 4)."""
        return np.array([(face.x, face.y, face.width, face.height) for face in self.faces]).reshape(-1, 4)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores, (n,); 1 where the detector gives none."""
        return np.array([1.0 if face.score is None else face.score for face in self.faces])

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Which labels are faces beyond doubt, (m,)."""
        return np.asarray(self.photograph.scores >= SURE)

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Sizes of the labels in the searched picture, (m,)."""
        return np.asarray(np.sqrt(self.photograph.boxes[:, 2:].prod(axis=1)) * self.reduction, float)

    def above(self, score: float) -> _Search:
        """What the detector finds with this threshold: overlaps are decided from the best detection down."""
        return replace(self, faces=tuple(face for face in self.faces if face.score is None or face.score >= score))

    def matches(self, count: NDArray[np.bool_]) -> Matches:
        """The detections, matched to the labels that count."""
        return match(self.boxes, self.scores, self.photograph.boxes, count)


def evaluate_detector(config: DetectorConfig, photographs: Sequence[Photograph]) -> dict[str, Any]:
    """The figures of a detector; fractions, not per cent.

    Args:
        config: The detector and the size that it searches.
        photographs: Labelled photographs. Unsure labels count neither way.

    Returns:
        `average_precision`: at an overlap of 0.5 over all scores; `average_precision_from`: the same, smaller faces
        counting neither way. At the detector's own threshold: `recall`, `precision`, `landmark_error` (the median over
        found faces with known landmarks of the mean distance in box widths), `head_angles` (by angle: the median
        `error` in degrees and the `correlation` with the angles of the labels' landmarks; None for too few faces),
        `turned` (share of found faces that look aside by more than 30 degrees), `false_per_100` (false faces on 100
        photographs without a face; None without such). `drawn`: of the boxes that people drew alone, all others
        counting neither way: `faces`, `average_precision`, `recall_from_32`, and `recall_by_size`. `by_source`: for
        each source its `faces`, `average_precision` and `recall`. `curve`: for each of `CURVE` as the threshold, the
        recall of drawn boxes from 16 and from 32 pixels, and `false_per_100`.
    """
    threshold = create_detector(config).min_score
    ranked = _search(config if threshold is None else replace(config, min_score=_LOW_SCORE), photographs)
    chosen = [search.above(threshold or 0.0) for search in ranked]
    figures: dict[str, Any] = {"detector": config.name, "longest_side": config.longest_side}
    figures |= _precision_and_recall(ranked, chosen)
    figures["average_precision_from"] = {
        str(size): average_precision(search.matches(search.sure & (search.sizes >= size)) for search in ranked)
        for size in SIZES
    }
    figures["landmark_error"] = _landmark_error(chosen)
    figures["head_angles"] = _head_angles(chosen)
    figures["turned"] = _turned(chosen)
    face_free = [search for search in chosen if search.photograph.face_free]
    false = sum(len(search.faces) for search in face_free)
    figures["face_free"] = len(face_free)
    figures["false_per_100"] = 100 * false / len(face_free) if face_free else None
    figures["drawn"] = _drawn_figures(ranked, chosen)
    figures["curve"] = [] if threshold is None else [_curve_point(ranked, score) for score in CURVE]
    sources = sorted({search.photograph.source for search in ranked if search.sure.any()})
    figures["by_source"] = {
        source: _precision_and_recall(
            *([search for search in part if search.photograph.source == source] for part in (ranked, chosen))
        )
        for source in sources
    }
    return figures


def threshold_for_false_faces(config: DetectorConfig, photographs: Sequence[Photograph], per_100: float = 1.0) -> float:
    """The threshold that leaves at most `per_100` detections on 100 photographs in which no face is expected: midway
    between the scores of the last one that may stay and of the next one.

    Raises DatasetError without photographs.
    """
    if not photographs:
        raise DatasetError("no held-out photograph has the role none_found; the threshold is chosen on such")
    found = _search(replace(config, min_score=_LOW_SCORE), photographs)
    scores = np.sort(np.concatenate([search.scores for search in found]))[::-1]
    allowed = int(len(photographs) * per_100 / 100)
    if len(scores) < allowed:
        return _LOW_SCORE
    last, following = np.concatenate([[1.0], scores, [_LOW_SCORE]])[allowed : allowed + 2]
    return float((last + following) / 2)


def report(figures: dict[str, Any]) -> str:
    """The figures as text for a terminal."""
    lines = [
        f"{figures['detector']}, longest side {figures['longest_side']}: {figures['photographs']} photographs with "
        f"{figures['faces']} faces, {figures['face_free']} without",
        f"  average precision          {_number(figures['average_precision'])}",
    ]
    lines += [
        f"    faces from {size:>3} px        {_number(value)}"
        for size, value in figures["average_precision_from"].items()
    ]
    for key in ("recall", "precision", "landmark_error", "turned", "false_per_100"):
        lines.append(f"  {key:26} {_number(figures[key])}")
    for name, angle in (figures["head_angles"] or {}).items():
        lines.append(f"  {name:26} {angle['error']:.1f} degrees off, correlation {angle['correlation']:.2f}")
    drawn = figures["drawn"]
    lines.append(f"  boxes drawn by people: {drawn['faces']}, average precision {_number(drawn['average_precision'])}")
    lines.append(f"    recall from 32 px        {_number(drawn['recall_from_32'])}")
    for size, recall in drawn["recall_by_size"].items():
        lines.append(f"    recall {size:>9} px      {_number(recall['recall'])}  of {recall['faces']}")
    for source, part in figures["by_source"].items():
        precision, recall = _number(part["average_precision"]), _number(part["recall"])
        lines.append(f"  {source:26} average precision {precision}, recall {recall}, {part['faces']} faces")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _search(config: DetectorConfig, photographs: Sequence[Photograph]) -> list[_Search]:
    detector: Detector = create_detector(config)
    found = []
    for photograph in photographs:
        frame = photograph.frame(detector.needs_colour)
        reduction = min(1.0, config.longest_side / max(frame.width, frame.height))
        found.append(_Search(photograph, find_faces(frame, detector, config), reduction))
    return found


def _precision_and_recall(ranked: Sequence[_Search], chosen: Sequence[_Search]) -> dict[str, Any]:
    """Figures over all sure faces, on photographs with faces."""
    with_faces = [search for search in ranked if search.sure.any()]
    matches = [search.matches(search.sure) for search in chosen if search.sure.any()]
    faces = sum(picture.faces for picture in matches)
    hits = sum(int(picture.hits.sum()) for picture in matches)
    detections = sum(int(picture.counts.sum()) for picture in matches)
    return {
        "photographs": len(with_faces),
        "faces": faces,
        "average_precision": average_precision(search.matches(search.sure) for search in with_faces),
        "recall": hits / faces if faces else None,
        "precision": hits / detections if detections else None,
    }


def _drawn_figures(ranked: Sequence[_Search], chosen: Sequence[_Search]) -> dict[str, Any]:
    """Figures over the boxes that people drew."""
    with_drawn = [search for search in ranked if search.photograph.drawn.any()]
    found, sizes = _drawn_found(chosen)
    return {
        "faces": len(found),
        "average_precision": average_precision(
            search.matches(search.photograph.drawn & search.sure) for search in with_drawn
        ),
        "recall_from_32": _share(found[sizes >= 32]),
        "recall_by_size": {
            f"{low}-{high}": {"faces": int(within.sum()), "recall": _share(found[within])}
            for low, high in pairwise(SIZE_EDGES)
            for within in [(sizes >= low) & (sizes < high)]
        },
    }


def _curve_point(ranked: Sequence[_Search], threshold: float) -> dict[str, Any]:
    """Recall and false faces at a threshold."""
    found, sizes = _drawn_found([search.above(threshold) for search in ranked])
    face_free = [search.above(threshold) for search in ranked if search.photograph.face_free]
    false = sum(len(search.faces) for search in face_free)
    return {
        "threshold": threshold,
        "recall_from_16": _share(found[sizes >= 16]),
        "recall_from_32": _share(found[sizes >= 32]),
        "false_per_100": 100 * false / len(face_free) if face_free else None,
    }


def _drawn_found(searches: Sequence[_Search]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which of all drawn boxes were found, and their sizes in the searched picture."""
    found, sizes = [np.zeros(0, bool)], [np.zeros(0)]
    for search in searches:
        count = search.photograph.drawn & search.sure
        if count.any():
            found.append(search.matches(count).found[count])
            sizes.append(search.sizes[count])
    return np.concatenate(found), np.concatenate(sizes)


def _share(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _found_pairs(
    searches: Sequence[_Search],
) -> Iterator[tuple[Detection, NDArray[np.float32], NDArray[np.float32], float]]:
    """Found faces that have landmarks, each with those landmarks and the label's, (5, 2), and the width of the label's
    box, all in pixels of the photograph; faces whose label has none are left out."""
    for search in searches:
        labels = search.photograph
        overlap = intersection_over_union(labels.boxes, search.boxes)
        for face in np.flatnonzero(search.sure & (overlap >= OVERLAP).any(axis=1)):
            found = search.faces[int(overlap[face].argmax())]
            if found.landmarks is not None and np.isfinite(labels.landmarks[face]).all():
                yield found, found.landmarks, labels.landmarks[face], float(labels.boxes[face, 2])


def _landmark_error(searches: Sequence[_Search]) -> float | None:
    errors = [
        np.linalg.norm(landmarks - labelled, axis=1).mean() / width
        for _, landmarks, labelled, width in _found_pairs(searches)
    ]
    return float(np.median(errors)) if errors else None


def _turned(searches: Sequence[_Search]) -> float | None:
    """Share of the found faces, wide enough for it, whose yaw is more than 30 degrees."""
    yaws = [
        abs(face.angles[0])
        for search in searches
        for face in search.faces
        if face.angles is not None and face.width >= _SMALLEST_WIDTH
    ]
    return float(np.mean(np.array(yaws) > 30)) if yaws else None


def _head_angles(searches: Sequence[_Search]) -> dict[str, dict[str, float]] | None:
    """By angle: the median error in degrees, and the correlation, which a detector that gives every face the same
    landmarks can't have."""
    pairs = [
        (found.angles, labelled)
        for found, _, landmarks, width in _found_pairs(searches)
        if width >= _SMALLEST_WIDTH and found.angles is not None and (labelled := head_angles(landmarks)) is not None
    ]
    if len(pairs) < _FEWEST_PAIRS:
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
