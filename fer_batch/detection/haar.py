"""OpenCV's Haar cascade for frontal faces (Viola & Jones 2001; Lienhart & Maydt 2002)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.base import CropRule
from fer_batch.errors import UsageError
from fer_batch.records import Detection

_SCALE_FACTOR = 1.1
_MIN_NEIGHBORS = 5


class HaarDetector:
    """The original project's detector. It gives neither scores nor landmarks."""

    needs_colour = False
    crop_rule = CropRule(scale=1.0)
    min_score = None

    def __init__(self, config: DetectorConfig) -> None:
        """Load the cascade that comes with OpenCV. Raises UsageError where this OpenCV has none."""
        if config.min_score is not None:
            raise UsageError("--min-score: the detector haar gives no scores; leave the option out or use yunet")
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
            raise UsageError(f"--detector haar: OpenCV {cv2.__version__} comes without cascades; install one below 5")
        self._cascade = cv2.CascadeClassifier(str(path))

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        side = max(1, round(min_face))
        boxes = self._cascade.detectMultiScale(picture, _SCALE_FACTOR, _MIN_NEIGHBORS, minSize=(side, side))
        return [Detection(float(x), float(y), float(width), float(height)) for x, y, width, height in boxes]
