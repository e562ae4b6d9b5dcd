"""YuNet by OpenCV's FaceDetectorYN (Wu, Peng & Yu 2023), from a model file that the user names."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig, UsageError
from fer_batch.detectors.base import CropRule
from fer_batch.detectors.face_detector_yn import Network
from fer_batch.records import Detection

_MIN_SCORE = 0.6


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
            self._network = Network(config.model_file, self.min_score, channels=3)
        except cv2.error as error:
            reason = str(error).strip().splitlines()[-1]
            message = f"--detector-model {config.model_file}: OpenCV can't use it as YuNet ({reason})"
            raise UsageError(message) from error

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        return self._network.detect(picture, min_face)
