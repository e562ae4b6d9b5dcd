"""The detector trained in this project, embedded in the package, or another folder of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.base import NMS_THRESHOLD, CropRule, DetectorError
from fer_batch.detection.model_folder import YUV, embedded_detector, network_file, read_detector
from fer_batch.detection.network import STRIDES, cells, in_pixels
from fer_batch.errors import UsageError
from fer_batch.onnx.session import NetworkError, open_network
from fer_batch.records import Detection

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
        height, width = (side + -side % _PADDED for side in picture.shape[:2])
        boxes, points = in_pixels(cells(height, width, self._strides)[found], box[found], landmarks[found])
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), score[found].tolist(), 0.0, NMS_THRESHOLD, top_k=_TOP_K)
        return [
            Detection(x, y, width, height, float(score[found[face]]), points[face])
            for face in kept
            for x, y, width, height in [boxes[face].tolist()]
            if min(width, height) >= min_face
        ]


def network_input(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as the network reads it, with black added to the right and below up to sides that are multiples of 32.

    Args:
        picture: Gray (h, w) or BGR (h, w, 3), uint8.

    Returns:
        Gray levels (1, 1, height, width), or full-range Y, U, V (BT.601) as `blocks` of pixels (1, 12, height / 2,
        width / 2); uint8.
    """
    below, right = (-side % _PADDED for side in picture.shape[:2])
    padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT) if below or right else picture
    if picture.ndim == 2:
        return np.ascontiguousarray(padded, np.uint8)[None, None]
    y, v, u = cv2.split(cv2.cvtColor(padded, cv2.COLOR_BGR2YCrCb))
    return blocks(np.stack([y, u, v])[None])


def blocks(planes: NDArray[Any]) -> NDArray[Any]:
    """Each block of 2 x 2 pixels as channels: a network reads them faster than a picture of few channels.

    Args:
        planes: (n, channels, height, width), sides even.

    Returns:
        (n, 4 channels, height / 2, width / 2); of each channel the upper left, upper right, lower left and lower right
        pixel.
    """
    count, channels, height, width = planes.shape
    split = planes.reshape(count, channels, height // 2, 2, width // 2, 2).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(split).reshape(count, 4 * channels, height // 2, width // 2)
