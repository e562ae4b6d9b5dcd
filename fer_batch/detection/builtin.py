"""The detector trained in this project, embedded in the package, or another folder of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.base import CropRule, DetectorError
from fer_batch.detection.model_folder import embedded_detector, network_file, read_detector
from fer_batch.detection.network import STRIDES, cells, in_pixels
from fer_batch.errors import UsageError
from fer_batch.onnx.session import NetworkError, open_network
from fer_batch.records import Detection

#: Of two boxes that overlap by more than this share of their union, the one with the higher score stays.
_NMS_THRESHOLD = 0.3
#: So many of the best boxes are looked at for overlaps, which takes time by the square.
_TOP_K = 5000


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
        outputs = [f"{kind}_{stride}" for kind in ("cls", "bbox", "kps") for stride in STRIDES]
        self._network = open_network(path, threads=1, outputs=outputs)
        try:
            self.detect(np.zeros((64, 64), np.uint8), 1.0)
        except (DetectorError, ValueError, IndexError) as error:  # Other inputs, outputs or shapes.
            raise UsageError(f"{path}: can't be used as a face detector ({error})") from error

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        whole = whole_cells(picture)
        try:
            maps = self._network(whole[None, None].astype(np.float32))
        except NetworkError as error:
            raise DetectorError(str(error)) from error
        score, box, landmarks = (
            np.concatenate([maps[f"{kind}_{stride}"][0] for stride in STRIDES]) for kind in ("cls", "bbox", "kps")
        )
        score = score[:, 0]
        found = np.flatnonzero(score >= self.min_score)
        if not len(found):
            return []
        boxes, points = in_pixels(cells(*whole.shape)[found], box[found], landmarks[found])
        best = cv2.dnn.NMSBoxes(boxes.tolist(), score[found].tolist(), 0.0, _NMS_THRESHOLD, top_k=_TOP_K)
        return [
            Detection(x, y, width, height, float(score[found[one]]), points[one])
            for one in best
            for x, y, width, height in [boxes[one].tolist()]
            if min(width, height) >= min_face
        ]


def whole_cells(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture, black added to the right and below, up to whole cells of the coarsest map."""
    low, wide = (-side % STRIDES[-1] for side in picture.shape)
    return np.asarray(cv2.copyMakeBorder(picture, 0, low, 0, wide, cv2.BORDER_CONSTANT), np.uint8)
