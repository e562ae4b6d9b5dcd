"""The detector trained in this project, embedded in the package, or another folder of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection.base import NMS_THRESHOLD, CropRule, DetectorError
from fer_batch.detection.model_folder import (
    VERIFIER_FILE,
    embedded_detector,
    network_file,
    read_detector,
)
from fer_batch.detection.network import cells, in_pixels
from fer_batch.detection.search import reduced
from fer_batch.detection.verifier import BLACK, Verifier
from fer_batch.errors import UsageError
from fer_batch.onnx.session import NetworkError, open_network
from fer_batch.records import Detection

#: Height and width of the blocks of pixels that the network reads.
BLOCK = (2, 4)
#: Pictures are padded to whole cells of this many pixels.
_PADDED = 32
#: So many of the best boxes are looked at for overlaps, which takes time by the square.
_TOP_K = 5000
#: Pictures from this longest side up are also searched at about a quarter of their size, for faces from this size up
#: there: the network sees too little of a face that fills a large picture. Pixels.
_SMALLEST_REDUCED, _SMALLEST_IN_REDUCED = 256, 32.0
#: The verifier scores what the first stage gives at least this score.
_CANDIDATE_SCORE = 0.3


@dataclass(frozen=True)
class RawDetections:
    """n boxes x, y, width, height (n, 4), landmarks (n, 5, 2) and scores (n,), in pixels of a picture; float32."""

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __getitem__(self, which: Any) -> RawDetections:
        return RawDetections(self.boxes[which], self.landmarks[which], self.scores[which])


class EmbeddedDetector:
    """Gives scores and five landmarks. One thread: files are spread over workers."""

    needs_colour = True

    def __init__(self, config: DetectorConfig) -> None:
        """Load the folder that holds `config.model_file`, or the embedded one. Raises UsageError where that fails."""
        folder = embedded_detector() if config.model_file is None else Path(config.model_file).parent
        model = read_detector(folder)
        self.crop_rule = CropRule(model.crop_scale, model.crop_shift_y)
        self.min_score = model.min_score if config.min_score is None else config.min_score
        path = network_file(folder, model)
        self._network = open_network(path, threads=1, outputs=["faces"])
        has_verifier = model.verifier_sha256 is not None
        self._verifier = Verifier(folder / VERIFIER_FILE, model.score_weights) if has_verifier else None
        try:
            self.detect(np.zeros((64, 64, 3), np.uint8), 1.0)
        except (DetectorError, ValueError, IndexError, KeyError) as error:  # Other inputs, outputs or shapes.
            raise UsageError(f"{path}: can't be used as a face detector ({error})") from error

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """See `Detector.detect`."""
        try:
            found = self._scored(as_yuv(picture))
        except NetworkError as error:
            raise DetectorError(str(error)) from error
        kept = found[(found.scores >= self.min_score) & (found.boxes[:, 2:].min(axis=1, initial=np.inf) >= min_face)]
        return [
            Detection(x, y, width, height, float(score), landmarks)
            for (x, y, width, height), landmarks, score in zip(
                kept.boxes.tolist(), kept.landmarks, kept.scores, strict=True
            )
        ]

    def _scored(self, picture: NDArray[np.uint8]) -> RawDetections:
        if self._verifier is None:
            return self.candidates(picture, self.min_score)
        found = self.candidates(picture, min(_CANDIDATE_SCORE, self.min_score))
        return replace(found, scores=self._verifier.scores(picture, found.boxes, found.scores))

    def candidates(self, picture: NDArray[np.uint8], min_score: float) -> RawDetections:
        """What the first stage finds, each face once.

        Args:
            picture: Y, U, V, uint8 (h, w, 3).
            min_score: The first stage's score from which a box is a candidate.

        Raises:
            NetworkError: Inference failed.
        """
        found = self._search(picture, min_score)
        height, width = picture.shape[:2]
        if max(height, width) >= _SMALLEST_REDUCED:
            small = _about_a_quarter(picture)
            large = self._search(small, min_score)
            large = large[np.sqrt(large.boxes[:, 2:].prod(axis=1)) >= _SMALLEST_IN_REDUCED]
            factors = np.array((width / small.shape[1], height / small.shape[0]), np.float32)
            found = _joined(found, _scaled(large, factors))
        kept = cv2.dnn.NMSBoxes(found.boxes.tolist(), found.scores.tolist(), 0.0, NMS_THRESHOLD, top_k=_TOP_K)
        return found[np.asarray(kept, np.int64).reshape(-1)]

    def _search(self, picture: NDArray[np.uint8], min_score: float) -> RawDetections:
        rows = self._network(network_input(picture))["faces"]
        scores = np.asarray(1 / (1 + np.exp(-rows[:, 0])), np.float32)
        found = np.flatnonzero(scores >= min_score)
        height, width = (side + -side % _PADDED for side in picture.shape[:2])
        return RawDetections(*in_pixels(cells(height, width)[found], rows[found]), scores[found])


def _about_a_quarter(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at a quarter of its size or somewhat less, so that its longest side needs no padding."""
    longest = max(picture.shape[:2])
    half = reduced(picture, longest // 2)  # A half is fast to make, and leaves little for other factors, which are not.
    return reduced(half, max(2, longest // (4 * _PADDED)) * _PADDED)


def _joined(first: RawDetections, second: RawDetections) -> RawDetections:
    return RawDetections(
        *(np.concatenate(pair) for pair in zip(vars(first).values(), vars(second).values(), strict=True))
    )


def _scaled(found: RawDetections, factors: NDArray[np.float32]) -> RawDetections:
    """`factors`: of x and y."""
    return replace(found, boxes=found.boxes * np.tile(factors, 2), landmarks=found.landmarks * factors)


def as_yuv(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture, BGR, as full-range Y, U, V (BT.601); uint8 (h, w, 3) both."""
    yvu = cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb)
    yuv = np.empty_like(picture)
    cv2.mixChannels([yvu], [yuv], [0, 0, 2, 1, 1, 2])
    return yuv


def network_input(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as the network reads it, with black added to the right and below up to sides that are multiples of 32.

    Args:
        picture: Y, U, V, uint8 (h, w, 3).

    Returns:
        Its `blocks`, uint8 (1, height / 2, width / 4, 24).
    """
    below, right = (-side % _PADDED for side in picture.shape[:2])
    if below or right:
        padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=BLACK)
        return blocks(np.asarray(padded, np.uint8))
    return blocks(picture)


def blocks(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each block of 2 x 4 pixels as channels: a network reads them faster than a picture of few channels.

    Args:
        picture: uint8 (h, w, 3), h a multiple of 2 and w of 4.

    Returns:
        uint8 (1, h / 2, w / 4, 24), of each block its pixels row by row.
    """
    height, width = picture.shape[0] // BLOCK[0], picture.shape[1] // BLOCK[1]
    row = 3 * BLOCK[1]  # Bytes of a block's row of pixels, which are copied at once.
    rows = np.ascontiguousarray(picture).reshape(-1, row).view(f"V{row}").reshape(height, BLOCK[0], width)
    return np.ascontiguousarray(rows.transpose(0, 2, 1)).view(np.uint8).reshape(1, height, width, -1)
