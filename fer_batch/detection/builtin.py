"""The detector trained in this project, embedded in the package, or another folder of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.base import CropRule, DetectorError
from fer_batch.detection.model_folder import YUV, embedded_detector, network_file, read_detector
from fer_batch.detection.network import STRIDES, cells, in_pixels
from fer_batch.errors import UsageError
from fer_batch.onnx.session import NetworkError, open_network
from fer_batch.records import Detection

#: Of two boxes that overlap by more than this share of their union, the one with the higher score stays.
_NMS_THRESHOLD = 0.3
#: Pictures are padded to whole cells of this many pixels.
_PADDED = 32
#: So many of the best boxes are looked at for overlaps, which takes time by the square.
_TOP_K = 5000


class EmbeddedDetector:
    """Gives scores and five landmarks. One thread: files are spread over workers."""

    def __init__(self, config: DetectorConfig) -> None:
        """Load the folder that holds `config.model_file`, or the embedded one. Raises UsageError where that fails."""
        folder = embedded_detector() if config.model_file is None else Path(config.model_file).parent
        model = read_detector(folder)
        self.crop_rule = CropRule(model.crop_scale, model.crop_shift_y)
        self.min_score = model.min_score if config.min_score is None else config.min_score
        self.needs_colour = model.input == YUV
        self._strides = STRIDES if self.needs_colour else STRIDES[:3]
        path = network_file(folder, model)
        outputs = [f"{kind}_{stride}" for kind in ("cls", "bbox", "kps") for stride in self._strides]
        self._network = open_network(path, threads=1, outputs=outputs)
        try:
            self.detect(np.zeros((64, 64, 3) if self.needs_colour else (64, 64), np.uint8), 1.0)
        except (DetectorError, ValueError, IndexError) as error:  # Other inputs, outputs or shapes.
            raise UsageError(f"{path}: can't be used as a face detector ({error})") from error

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        batch = network_input(picture)
        try:
            maps = self._network(batch)
        except NetworkError as error:
            raise DetectorError(str(error)) from error
        score, box, landmarks = (
            np.concatenate([maps[f"{kind}_{stride}"][0] for stride in self._strides]) for kind in ("cls", "bbox", "kps")
        )
        score = score[:, 0]
        found = np.flatnonzero(score >= self.min_score)
        if not len(found):
            return []
        boxes, points = in_pixels(cells(*batch.shape[2:], self._strides)[found], box[found], landmarks[found])
        best = cv2.dnn.NMSBoxes(boxes.tolist(), score[found].tolist(), 0.0, _NMS_THRESHOLD, top_k=_TOP_K)
        return [
            Detection(x, y, width, height, float(score[found[one]]), points[one])
            for one in best
            for x, y, width, height in [boxes[one].tolist()]
            if min(width, height) >= min_face
        ]


def network_input(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture as the network reads it.

    Args:
        picture: Gray (h, w) or BGR (h, w, 3), uint8.

    Returns:
        Gray or full-range Y, U, V (BT.601), 0..255, with black added to the right and below up to sides that are
        multiples of 32; float32 (1, 1 or 3, height, width).
    """
    below, right = (-side % _PADDED for side in picture.shape[:2])
    if picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb)[..., [0, 2, 1]], np.uint8)
    black = (0, 128, 128)[: 1 if picture.ndim == 2 else 3]
    padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=black)
    channels = padded[None] if padded.ndim == 2 else padded.transpose(2, 0, 1)
    return np.ascontiguousarray(channels, np.float32)[None]
