"""Search a frame for faces at a bounded size and give boxes in pixels of the full upright frame, with head angles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.base import NMS_THRESHOLD, Detector
from fer_batch.detection.head_pose import head_angles
from fer_batch.records import Detection, Frame

#: Pictures up to this longest side are searched whole; larger ones in tiles, so that memory stays bounded. Pixels.
_LARGEST_UNTILED = 1280
#: Side of a tile, and how far neighbours overlap: a face up to that size lies whole in one of them. Pixels.
_TILE, _OVERLAP = 1024, 256


def find_faces(frame: Frame, detector: Detector, config: DetectorConfig) -> tuple[Detection, ...]:
    """The faces of a frame, left to right, in pixels of the full frame.

    The picture is reduced, never enlarged, to `config.longest_side`; faces below `config.min_face` pixels of the full
    frame are left out.
    """
    small = reduced(frame.luma if frame.bgr is None else frame.bgr, config.longest_side)
    # Widths and heights are rounded each on its own, so each has its own factor back to the full frame.
    scale_x, scale_y = frame.width / small.shape[1], frame.height / small.shape[0]
    found = _search(small, detector, config.min_face / max(scale_x, scale_y))
    faces = [_with_angles(_scaled(face, scale_x, scale_y)) for face in found]
    large = [face for face in faces if min(face.width, face.height) >= config.min_face]
    return tuple(sorted(large, key=lambda face: (face.x, face.y, face.width)))


def reduced(picture: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """The picture, uint8 (h, w) or (h, w, 3), no longer than `longest_side` pixels either way; never enlarged."""
    height, width = picture.shape[:2]
    reduction = longest_side / max(width, height)
    if reduction >= 1.0:
        return picture
    return _resized(picture, max(1, round(width * reduction)), max(1, round(height * reduction)))


def _search(picture: NDArray[np.uint8], detector: Detector, min_face: float) -> Sequence[Detection]:
    """Faces in pixels of `picture`. A large picture is searched in tiles, then at half its size for the faces that are
    too large for a tile, and so on."""
    height, width = picture.shape[:2]
    if max(height, width) <= _LARGEST_UNTILED:
        return detector.detect(picture, min_face)
    half = _resized(picture, max(1, width // 2), max(1, height // 2))
    scale_x, scale_y = width / half.shape[1], height / half.shape[0]
    found = [_scaled(face, scale_x, scale_y) for face in _search(half, detector, min_face / max(scale_x, scale_y))]
    for top, bottom in _spans(height):
        for left, right in _spans(width):
            inner = np.array((left > 0, top > 0, right < width, bottom < height))
            for face in detector.detect(picture[top:bottom, left:right], min_face):
                ends = (face.x, face.y, right - left - face.x - face.width, bottom - top - face.y - face.height)
                if not (inner & (np.array(ends) <= 0)).any():  # One that is cut off lies whole in a neighbour.
                    found.append(_moved(face, left, top))
    return _distinct(found)


def _spans(length: int) -> Iterator[tuple[int, int]]:
    """Where tiles begin and end along a side; all are of one size."""
    tile = min(_TILE, length)
    steps = max(1, -(-(length - _OVERLAP) // (_TILE - _OVERLAP)))
    for start in np.linspace(0, length - tile, steps).round().astype(int).tolist():
        yield start, start + tile


def _distinct(faces: Sequence[Detection]) -> list[Detection]:
    """Each face once, as it was found with the highest score, or, without scores, at the coarsest size."""
    boxes = [(face.x, face.y, face.width, face.height) for face in faces]
    scores = [1.0 if face.score is None else face.score for face in faces]
    return [faces[kept] for kept in cv2.dnn.NMSBoxes(boxes, scores, 0.0, NMS_THRESHOLD)]


def _resized(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _moved(face: Detection, left: int, top: int) -> Detection:
    landmarks = None if face.landmarks is None else face.landmarks + np.array((left, top), np.float32)
    return replace(face, x=face.x + left, y=face.y + top, landmarks=landmarks)


def _scaled(face: Detection, scale_x: float, scale_y: float) -> Detection:
    landmarks = None if face.landmarks is None else face.landmarks * np.array((scale_x, scale_y), np.float32)
    x, y, width, height = face.x * scale_x, face.y * scale_y, face.width * scale_x, face.height * scale_y
    return replace(face, x=x, y=y, width=width, height=height, landmarks=landmarks)


def _with_angles(face: Detection) -> Detection:
    return replace(face, angles=None if face.landmarks is None else head_angles(face.landmarks))
