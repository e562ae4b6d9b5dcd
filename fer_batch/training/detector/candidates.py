"""Candidates for the verifier to learn from: what the first stage finds on training views, with what it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.detection.builtin import EmbeddedDetector
from fer_batch.detection.verifier import CONTEXT, SIDE, crops
from fer_batch.errors import DatasetError
from fer_batch.training.detector.matching import OVERLAP
from fer_batch.training.detector.photographs import SURE, Photograph
from fer_batch.training.detector.targets import intersection_over_union
from fer_batch.training.detector.views import MOST_TILES, View, Views, draw_view

#: Side of a kept crop, pixels, and how much longer it is than the longer side of the box: the network's own square at
#: its own scale, and a rim to move, turn and scale it in.
KEPT_SIDE = 64
_KEPT_CONTEXT = CONTEXT * KEPT_SIDE / SIDE
#: First-stage score of the candidates that are learnt from: lower than in use, so that there are more.
_MIN_SCORE = 0.1
#: A candidate is something else than a face below this overlap with all labels; between the two it is not learnt from.
_BACKGROUND_OVERLAP = 0.3
#: Of a view at most so many faces, so many of the best-scored other things, and so many more of them.
_FACES, _BEST_OTHERS, _MORE_OTHERS = 12, 5, 3
#: Longest sides of a photograph that is searched whole, and the sides of drawn views; pixels.
_WHOLE_SIDES, _VIEW_SIDES = (160, 416), (256, 384)


@dataclass(frozen=True)
class Candidates:
    """n candidates.

    Attributes:
        crops: Y, U, V, uint8 (KEPT_SIDE, KEPT_SIDE, 3) each: a list, as there are gigabytes.
        scores: Of the first stage, float32 (n,).
        faces: Whether each is a face, bool (n,).
    """

    crops: list[NDArray[np.uint8]]
    scores: NDArray[np.float32]
    faces: NDArray[np.bool_]

    def squares(self, which: slice | NDArray[np.int64] = slice(None)) -> NDArray[np.uint8]:
        """What the verifier reads in use, of these candidates; uint8 (m, SIDE, SIDE, 3)."""
        rim = (KEPT_SIDE - SIDE) // 2
        chosen = [self.crops[i] for i in np.arange(len(self.crops))[which]]
        return np.stack([crop[rim:-rim, rim:-rim] for crop in chosen])


def collect_candidates(views: Iterable[View], detector: EmbeddedDetector, seed: int) -> Candidates:
    """What the first stage finds on views.

    Args:
        views: With their labels.
        detector: The detector whose first stage is asked.
        seed: Of the choice among many candidates of a view.

    Raises:
        DatasetError: Where it finds no face, or nothing but faces.
    """
    rng = np.random.default_rng(seed)
    parts = [_candidates(view, detector, rng) for view in views]
    faces = np.concatenate([part.faces for part in parts] or [np.zeros(0, bool)])
    if not faces.any() or faces.all():
        raise DatasetError(
            f"the detector's first stage finds {faces.sum()} faces and {(~faces).sum()} other things on the "
            "photographs; a verifier needs both; train longer, or set verifier.passes to 0 in the recipe"
        )
    return Candidates(
        [crop for part in parts for crop in part.crops], np.concatenate([part.scores for part in parts]), faces
    )


def training_views(photographs: Sequence[Photograph], views: Views, passes: int, seed: int) -> Iterator[View]:
    """Views to learn from: each photograph whole at some size, and views drawn of it, as often as `passes`."""
    rng = np.random.default_rng(seed)
    for photograph in [photograph for _ in range(passes) for photograph in photographs]:
        yield _whole(photograph, int(rng.integers(_WHOLE_SIDES[0], _WHOLE_SIDES[1] + 1)), bool(rng.random() < 0.5))
        chosen = [photograph, *(photographs[i] for i in rng.integers(0, len(photographs), MOST_TILES - 1))]
        yield from (draw_view(chosen, views, side, rng) for side in _VIEW_SIDES)
        for used in chosen:
            used.forget()


def whole_views(photographs: Sequence[Photograph]) -> Iterator[View]:
    """Each photograph whole, at the largest of the sizes that are learnt from."""
    return (_whole(photograph, _WHOLE_SIDES[1], mirrored=False) for photograph in photographs)


def _whole(photograph: Photograph, longest_side: int, mirrored: bool) -> View:
    picture, boxes = photograph.yuv(), photograph.boxes
    height, width = picture.shape[:2]
    scale = min(1.0, longest_side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    boxes = boxes * np.tile(np.array(size, np.float32) / (width, height), 2).astype(np.float32)
    if mirrored:
        picture = np.ascontiguousarray(picture[:, ::-1])
        boxes[:, 0] = size[0] - boxes[:, 0] - boxes[:, 2]
    return View(picture, boxes, photograph.landmarks, photograph.scores >= SURE)


def _candidates(view: View, detector: EmbeddedDetector, rng: np.random.Generator) -> Candidates:
    found = detector.candidates(view.picture, _MIN_SCORE)
    overlap = intersection_over_union(found.boxes, view.boxes)
    faces = np.flatnonzero((overlap[:, view.sure] >= OVERLAP).any(axis=1))
    near = (overlap >= _BACKGROUND_OVERLAP).any(axis=1) | _centred_in(found.boxes, view.boxes[~view.sure])
    others = np.flatnonzero(~near)
    others = others[np.argsort(-found.scores[others], kind="stable")]
    kept = np.concatenate(
        [
            rng.permutation(faces)[:_FACES],
            others[:_BEST_OTHERS],
            rng.permutation(others[_BEST_OTHERS:])[:_MORE_OTHERS],
        ]
    )
    cut = crops(view.picture, found.boxes[kept], KEPT_SIDE, _KEPT_CONTEXT)
    return Candidates(list(cut), found.scores[kept], np.isin(kept, faces))


def _centred_in(boxes: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes (n, 4) have their centre in one of the labels (m, 4); (n,)."""
    centres = (boxes[:, :2] + boxes[:, 2:] / 2)[:, None]
    inside = (centres >= labels[:, :2]) & (centres <= labels[:, :2] + labels[:, 2:])
    return np.asarray(np.any(np.all(inside, axis=2), axis=1))
