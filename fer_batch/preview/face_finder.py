"""Finds what might be a face, for blurring it.

Drawing needs no model, with this one exception: the tables hold the faces of sampled frames that reached the threshold,
and a face that must not be recognized is there between samples and below the threshold as well. So the embedded
detector searches every drawn frame, at a far lower threshold than a run's and most frames at a larger size, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from queue import SimpleQueue
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.model_folder import embedded_detector, read_detector
from fer_batch.detection.search import find_faces
from fer_batch.media.image import frame_from_bgr
from fer_batch.preview.samples import Box
from fer_batch.resources import available_resources

ItemT = TypeVar("ItemT")
#: What might be a face: its score, 0..1, and its box.
Found = tuple[float, Box]

#: The lowest score of what is blurred, as a share of the detector's threshold. At half of it, faces in the dark are
#: missed that YuNet finds; below this share, more is blurred that is no face (`benchmarks/blur.py`).
SCORE_SHARE = 0.3
#: Longest sides of the picture at which it is searched, in pixels: that of a run alone, or a larger one as well, at
#: which faces of 10 pixels are found. The detector itself looks for those that fill the picture at a quarter of each.
AS_IN_A_RUN: tuple[int, ...] = (DetectorConfig.longest_side,)
BOTH_SIZES = (1280, *AS_IN_A_RUN)
#: Pictures that are searched at a time, at most.
_MOST_THREADS = 4


class FaceFinder:
    """Finds what might be a face. One thread at a time.

    Attributes:
        threshold: The lowest score, 0..1, of what a run takes for a face.
    """

    def __init__(self) -> None:
        """Load the embedded detector. Raises UsageError where it is missing."""
        self.threshold = read_detector(embedded_detector()).min_score
        self._config = DetectorConfig("embedded", min_score=SCORE_SHARE * self.threshold)
        self._detector = create_detector(self._config)

    def find(self, picture: NDArray[np.uint8], longest_sides: Sequence[int] = BOTH_SIZES) -> list[Found]:
        """What might be faces.

        Args:
            picture: uint8 (h, w, 3), BGR.
            longest_sides: Of the sizes at which it is searched, in pixels.
        """
        height, width = picture.shape[:2]
        frame = frame_from_bgr(picture, self._detector.needs_colour)
        # A picture is never enlarged, so a small one has one size.
        sizes = sorted({min(side, max(height, width)) for side in longest_sides})
        faces = [
            face
            for size in sizes
            for face in find_faces(frame, self._detector, replace(self._config, longest_side=size))
        ]
        return [
            (face.score or 0.0, (face.x / width, face.y / height, face.width / width, face.height / height))
            for face in faces
        ]


@cache
def face_finders() -> Sequence[FaceFinder]:
    """As many as there are threads that search, loaded at the first call."""
    return [FaceFinder() for _ in range(min(available_resources().cores, _MOST_THREADS))]


def found_ahead(
    items: Iterable[tuple[ItemT, NDArray[np.uint8], Sequence[int]]],
) -> Iterator[tuple[ItemT, list[Found]]]:
    """Search pictures, some of them ahead, in threads, while others are decoded and drawn.

    Args:
        items: Anything with a picture, uint8 (h, w, 3), BGR, and the longest sides at which it is searched.

    Yields:
        The same things with what was found, as of `FaceFinder.find`.
    """
    free = SimpleQueue[FaceFinder]()
    for finder in face_finders():
        free.put(finder)

    def find(picture: NDArray[np.uint8], sides: Sequence[int]) -> list[Found]:
        finder = free.get()
        try:
            return finder.find(picture, sides)
        finally:
            free.put(finder)

    waiting: deque[tuple[ItemT, Future[list[Found]]]] = deque()
    with ThreadPoolExecutor(len(face_finders())) as threads:
        for item, picture, sides in items:
            waiting.append((item, threads.submit(find, picture, sides)))
            if len(waiting) > len(face_finders()):
                item, found = waiting.popleft()
                yield item, found.result()
        for item, found in waiting:
            yield item, found.result()
