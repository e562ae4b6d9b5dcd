"""Find the cuts of a video, where one scene ends and the next begins. It takes every decoded frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.media.frame import DecodedFrame

#: Below this correlation of two thumbnails, and above this mean difference of gray values, lies a cut.
_CUT_CORRELATION, _CUT_DIFFERENCE = 0.4, 10.0


@dataclass(frozen=True)
class SceneFrame:
    """A decoded frame and the number of the scene it belongs to, 0, 1, ... within the video."""

    picture: DecodedFrame
    scene: int

    @property
    def time(self) -> Fraction:
        """Seconds on the player's clock, exact."""
        return self.picture.time


class CutDetector:
    """Finds the cuts between decoded frames in order. It takes all of them, not only those that are sampled: between
    neighbouring frames a cut differs clearly from a moving camera."""

    def __init__(self) -> None:
        #: Cuts so far.
        self.cuts = 0
        self._before: NDArray[np.uint8] | None = None

    def __call__(self, pictures: Iterable[DecodedFrame]) -> Iterator[SceneFrame]:
        """Every frame with its scene."""
        for picture in pictures:
            thumbnail = picture.thumbnail()
            self.cuts += self._before is not None and is_cut(self._before, thumbnail)
            self._before = thumbnail
            yield SceneFrame(picture, self.cuts)


def is_cut(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    """Whether there is a cut between two thumbnails: neither their patterns nor their gray values agree."""
    if cv2.norm(before, after, cv2.NORM_L1) <= _CUT_DIFFERENCE * before.size:  # Of most neighbours; it is quick.
        return False
    first, second = (picture.astype(np.float32).ravel() for picture in (before, after))
    first, second = first - first.mean(), second - second.mean()
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    correlation = float(first @ second) / norms if norms > 0 else 0.0
    return correlation < _CUT_CORRELATION
