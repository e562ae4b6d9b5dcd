"""What every face detector offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_batch.records import Detection

#: Non-maximum suppression: of two boxes that overlap by more than this share of their union, the one with the higher
#: score stays.
NMS_THRESHOLD = 0.3


class DetectorError(Exception):
    """A detector that was loaded could not compute on a picture."""


@dataclass(frozen=True)
class CropRule:
    """How a detector's box becomes the square that the classifier sees. `scale`: side of the square over the longer
    side of the box; `shift_y`: how far the centre moves down, as a share of the box's height.
    `upright_from`: heads that lean by that many degrees or more are turned upright, where the detector gives
    landmarks. docs/experiments/crop.md has the measurements behind the choice."""

    scale: float
    shift_y: float = 0.0
    upright_from: float = 15.0


class Detector(Protocol):
    """Finds faces in pictures. `needs_colour`: it wants BGR, not gray."""

    needs_colour: bool
    crop_rule: CropRule

    @property
    def min_score(self) -> float | None:
        """The lowest score of what it finds, 0..1; None where it gives no scores."""
        ...

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        """Faces in a picture, uint8 (h, w) or, where colour is needed, (h, w, 3); boxes in its pixels, in any order.

        `min_face`: faces whose box is smaller than this many pixels of `picture` need not be found. Raises
        DetectorError or cv2.error where its network fails.
        """
        ...
