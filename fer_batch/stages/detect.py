"""Search a frame for faces at a bounded size and give boxes in pixels of the full upright frame, with head angles."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from fer_batch.config import DetectorConfig
from fer_batch.detectors.base import Detector
from fer_batch.detectors.head_angles import head_angles
from fer_batch.records import Detection, Frame


def find_faces(frame: Frame, detector: Detector, config: DetectorConfig) -> tuple[Detection, ...]:
    """The faces of a frame, left to right, in pixels of the full frame.

    The picture is reduced, never enlarged, to `config.longest_side`; faces below `config.min_face` pixels of the full
    frame are left out.
    """
    small = frame.luma if frame.bgr is None else frame.bgr
    height, width = small.shape[:2]
    reduction = config.longest_side / max(width, height)
    if reduction < 1.0:
        size = (max(1, round(width * reduction)), max(1, round(height * reduction)))
        small = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), np.uint8)
    # Widths and heights are rounded each on its own, so each has its own factor back to the full frame.
    scale_x, scale_y = frame.width / small.shape[1], frame.height / small.shape[0]
    found = detector.detect(small, config.min_face / max(scale_x, scale_y))
    faces = [_scaled(face, scale_x, scale_y) for face in found]
    large = [face for face in faces if min(face.width, face.height) >= config.min_face]
    return tuple(sorted(large, key=lambda face: (face.x, face.y, face.width)))


def _scaled(face: Detection, scale_x: float, scale_y: float) -> Detection:
    landmarks = None if face.landmarks is None else face.landmarks * np.array((scale_x, scale_y), np.float32)
    return replace(
        face,
        x=face.x * scale_x,
        y=face.y * scale_y,
        width=face.width * scale_x,
        height=face.height * scale_y,
        landmarks=landmarks,
        angles=None if landmarks is None else head_angles(landmarks),
    )
