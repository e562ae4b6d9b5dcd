"""The detector trained in this project, embedded in the package, or another folder of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig, UsageError
from fer_batch.detectors.base import CropRule, DetectorError
from fer_batch.messages import one_line
from fer_batch.models.detector_folder import embedded_detector, network_file, read_detector
from fer_batch.models.face_network import STRIDES
from fer_batch.models.onnx_session import open_network
from fer_batch.records import Detection

#: Of two boxes that overlap by more than this share of their union, the one with the higher score stays.
_NMS_THRESHOLD = 0.3
#: Logarithm of the largest side of a box, in cells: far beyond any picture, and not beyond all numbers.
_LARGEST = 12.0


class EmbeddedDetector:
    """Reads gray pictures; gives scores and five landmarks. One thread: files are spread over workers."""

    needs_colour = False

    def __init__(self, config: DetectorConfig) -> None:
        """Load the folder that holds `config.model_file`, or the embedded one. Raises UsageError where that fails."""
        folder = embedded_detector() if config.model_file is None else Path(config.model_file).parent
        model = read_detector(folder)
        self.crop_rule = CropRule(model.crop_scale, model.crop_shift_y)
        self.min_score = model.min_score if config.min_score is None else config.min_score
        path = network_file(folder, model)
        self._network = open_network(path, threads=1)
        try:
            self.detect(np.zeros((64, 64), np.uint8), 1.0)
        except (DetectorError, LookupError, ValueError) as error:  # Other inputs, outputs or shapes.
            raise UsageError(f"{path}: can't be used as a face detector ({error})") from error

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        whole = whole_cells(picture)
        given = whole[None, None].astype(np.float32)
        try:
            maps = self._network(given)
        except Exception as error:  # ONNX Runtime's failures have no common class.
            raise DetectorError(one_line(str(error))) from error
        boxes, landmarks, scores = [], [], []
        for stride in STRIDES:
            score = maps[f"cls_{stride}"][0, :, 0]
            cells = np.flatnonzero(score >= self.min_score)
            rows, columns = np.divmod(cells, whole.shape[1] // stride)
            corner = np.stack([columns, rows], axis=1)
            box = maps[f"bbox_{stride}"][0, cells]
            size = np.exp(np.minimum(box[:, 2:], _LARGEST)) * stride
            boxes.append(np.hstack([(corner + box[:, :2]) * stride - size / 2, size]))
            landmarks.append((maps[f"kps_{stride}"][0, cells].reshape(-1, 5, 2) + corner[:, None]) * stride)
            scores.append(score[cells])
        box, points, score = np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores)
        if not len(box):
            return []
        best = cv2.dnn.NMSBoxes(box.tolist(), score.tolist(), 0.0, _NMS_THRESHOLD)
        return [
            Detection(x, y, width, height, float(score[one]), points[one].astype(np.float32))
            for one in best
            for x, y, width, height in [box[one].tolist()]
            if min(width, height) >= min_face
        ]


def whole_cells(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture, black added to the right and below, up to whole cells of the coarsest map."""
    low, wide = (-side % STRIDES[-1] for side in picture.shape)
    return np.asarray(cv2.copyMakeBorder(picture, 0, low, 0, wide, cv2.BORDER_CONSTANT), np.uint8)
