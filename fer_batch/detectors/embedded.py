"""The detector trained in this project, embedded in the package, or another folder of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig, UsageError
from fer_batch.detectors.base import CropRule
from fer_batch.detectors.face_detector_yn import Network
from fer_batch.models.detector_folder import ONNX_FILE, embedded_detector, read_detector
from fer_batch.records import Detection


class EmbeddedDetector:
    """Reads gray pictures; gives scores and five landmarks."""

    needs_colour = False

    def __init__(self, config: DetectorConfig) -> None:
        """Load the folder that holds `config.model_file`, or the embedded one. Raises UsageError where that fails."""
        folder = embedded_detector() if config.model_file is None else Path(config.model_file).parent
        model = read_detector(folder)
        self.crop_rule = CropRule(model.crop_scale, model.crop_shift_y)
        self.min_score = model.min_score if config.min_score is None else config.min_score
        try:
            self._network = Network(str(folder / ONNX_FILE), self.min_score, channels=1)
        except cv2.error as error:
            reason = str(error).strip().splitlines()[-1]
            raise UsageError(f"{folder / ONNX_FILE}: OpenCV can't use it as a face detector ({reason})") from error

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        return self._network.detect(picture, min_face)
