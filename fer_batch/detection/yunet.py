"""YuNet by OpenCV's FaceDetectorYN (Wu, Peng & Yu 2023), from a model file that the user names."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.base import NMS_THRESHOLD, CropRule
from fer_batch.errors import UsageError
from fer_batch.records import Detection

_MIN_SCORE = 0.6
_TOP_K = 5000
_SMALLEST_SIDE = 64


class YuNetDetector:
    """Gives scores and five landmarks, and finds turned heads.

    It was trained on colour and needs it: on gray frames it finds 1.1 of 2 turning heads where it finds both in colour
    (480 x 270, scores from 0.6).
    """

    needs_colour = True
    crop_rule = CropRule(scale=1.0)

    def __init__(self, config: DetectorConfig) -> None:
        """Load the ONNX file. Raises UsageError where there is none or OpenCV can't read it."""
        if config.model_file is None:
            raise UsageError("--detector yunet: name its ONNX file with --detector-model FILE")
        self.min_score = _MIN_SCORE if config.min_score is None else config.min_score
        try:
            self._net = cv2.FaceDetectorYN.create(
                config.model_file, "", (320, 320), self.min_score, NMS_THRESHOLD, _TOP_K
            )
            self.detect(np.zeros((_SMALLEST_SIDE, _SMALLEST_SIDE, 3), np.uint8), 1.0)
        except cv2.error as error:
            reason = str(error).strip().splitlines()[-1]
            message = f"--detector-model {config.model_file}: OpenCV can't use it as YuNet ({reason})"
            raise UsageError(message) from error

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        height, width = picture.shape[:2]
        # Below two strides of 32 OpenCV's network reads memory that is not its own and invents faces.
        low, narrow = max(0, _SMALLEST_SIDE - height), max(0, _SMALLEST_SIDE - width)
        if low or narrow:
            picture = np.pad(picture, ((0, low), (0, narrow), (0, 0)))
        self._net.setInputSize((picture.shape[1], picture.shape[0]))
        _, rows = self._net.detect(picture)
        if rows is None:
            return []
        return [_detection(row) for row in rows if min(row[2], row[3]) >= min_face]


def _detection(row: NDArray[np.float32]) -> Detection:
    """A row is x, y, width, height, five landmarks as x, y, and the score."""
    x, y, width, height = (float(value) for value in row[:4])
    return Detection(x, y, width, height, float(row[14]), row[4:14].reshape(5, 2).copy())
