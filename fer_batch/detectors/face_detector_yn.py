"""A network in the output layout of OpenCV's FaceDetectorYN, which decodes it and suppresses overlaps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.records import Detection

_NMS_THRESHOLD = 0.3
_TOP_K = 5000
_LEAST_SIDE = 64


class Network:
    """An ONNX file, loaded. Pictures of any size; as many channels as the file wants."""

    def __init__(self, model_file: str, min_score: float, channels: int) -> None:
        """Load the file and try it. Raises cv2.error where OpenCV can't use it so."""
        self._net = cv2.FaceDetectorYN.create(model_file, "", (320, 320), min_score, _NMS_THRESHOLD, _TOP_K)
        self.detect(np.zeros((64, 64, channels) if channels > 1 else (64, 64), np.uint8), 1.0)

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        height, width = picture.shape[:2]
        # Below two strides of 32 OpenCV's network reads memory that is not its own and invents faces.
        low, narrow = max(0, _LEAST_SIDE - height), max(0, _LEAST_SIDE - width)
        if low or narrow:
            picture = np.pad(picture, ((0, low), (0, narrow), (0, 0))[: picture.ndim])
        self._net.setInputSize((picture.shape[1], picture.shape[0]))
        _, rows = self._net.detect(picture)
        if rows is None:
            return []
        return [_detection(row) for row in rows if min(row[2], row[3]) >= min_face]


def _detection(row: NDArray[np.float32]) -> Detection:
    """A row is x, y, width, height, five landmarks as x, y, and the score."""
    x, y, width, height = (float(value) for value in row[:4])
    return Detection(x, y, width, height, float(row[14]), row[4:14].reshape(5, 2).copy())
