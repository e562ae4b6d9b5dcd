"""Make faces unrecognizable, also those that the tables do not hold.

Drawing needs no model, with this one exception: the tables hold the faces of sampled frames that reached the threshold,
and a face that must not be recognized is there between samples and below the threshold as well. So the embedded
detector searches every drawn frame, at a lower threshold than a run's and most frames at a larger size, too. Then it
searches what was drawn, as a run would, and blurs what it still finds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.search import find_faces
from fer_batch.media.image import frame_from_bgr
from fer_batch.preview.samples import Box, DrawnFrame
from fer_batch.records import Detection
from fer_batch.report.formatting import format_count

#: What is blurred around a box, on each side, as a share of its width and height: hair, ears, chin.
MARGIN = 0.35
#: The lowest score of a face that is blurred, as a share of the detector's own threshold.
SCORE_SHARE = 0.5
#: Longest sides of the picture at which it is searched, in pixels: that of a run alone, or a larger one as well, at
#: which faces of 10 pixels are found. The detector itself looks for those that fill the picture at a quarter of each.
_AS_IN_A_RUN: tuple[int, ...] = (DetectorConfig.longest_side,)
_LONGEST_SIDES = (1280, *_AS_IN_A_RUN)
#: A face is blurred that long before and after it is found, in seconds: it may be missed in a frame.
_BEFORE_S, _AFTER_S = Fraction(1, 4), Fraction(1, 2)
#: Frames of a scene less than this, in seconds, after one that was searched at both sizes are searched as in a run
#: alone: every other one of 30 a second. Small faces there get the boxes of the frames around them.
_BOTH_SIZES_EVERY_S = Fraction(1, 16)
#: Frames that wait for those after them, at most: 25 MB each at 4K.
_MOST_WAITING = 8
#: Frames that are searched while earlier ones are drawn.
_SEARCHED_AHEAD = 2
#: So many pixels across and down are left of a face. Of 3 by 3 the detector still takes some for a face.
_LEFT = 2
#: Boxes whose intersection over union is at least this are blurred as one.
_MIN_IOU = 0.5


class FaceFinder:
    """Finds what might be a face. One thread at a time.

    Attributes:
        threshold: The lowest score, 0..1, of what a run takes for a face.
    """

    def __init__(self) -> None:
        """Load the embedded detector. Raises UsageError where it is missing."""
        self.threshold = create_detector(DetectorConfig("embedded")).min_score or 1.0
        self._config = DetectorConfig("embedded", min_score=SCORE_SHARE * self.threshold)
        self._detector = create_detector(self._config)

    def boxes(self, picture: NDArray[np.uint8], longest_sides: Sequence[int] = _LONGEST_SIDES) -> list[Box]:
        """The boxes of what might be faces.

        Args:
            picture: uint8 (h, w, 3), BGR.
            longest_sides: Of the sizes at which it is searched, in pixels.
        """
        height, width = picture.shape[:2]
        faces = self._found(picture, longest_sides)
        return [(face.x / width, face.y / height, face.width / width, face.height / height) for face in faces]

    def scores(self, picture: NDArray[np.uint8], longest_sides: Sequence[int]) -> list[float]:
        """The scores of what might be faces, from `SCORE_SHARE` of the threshold on. Arguments: as of `boxes`."""
        return [face.score or 0.0 for face in self._found(picture, longest_sides)]

    def _found(self, picture: NDArray[np.uint8], longest_sides: Sequence[int]) -> list[Detection]:
        frame = frame_from_bgr(picture, self._detector.needs_colour)
        searches = [replace(self._config, longest_side=side) for side in longest_sides]
        return [face for search in searches for face in find_faces(frame, self._detector, search)]


@cache
def face_finder() -> FaceFinder:
    """The one that searches before blurring, loaded at the first call."""
    return FaceFinder()


@cache
def _checker() -> FaceFinder:
    """The one that searches what was drawn; the other may be at work meanwhile."""
    return FaceFinder()


@dataclass
class BlurCheck:
    """What the detector finds in blurred pictures, as they were drawn.

    Attributes:
        pictures: Pictures that were searched.
        faces: Faces left in them with at least the detector's threshold.
        possible: Faces left with at least `SCORE_SHARE` of it, those above included.
    """

    pictures: int = 0
    faces: int = 0
    possible: int = 0

    def search(self, picture: NDArray[np.uint8]) -> None:
        """Search a picture, uint8 (h, w, 3), BGR. What is found is blurred as well, in place, and the picture searched
        again: blurring one part changes what the detector makes of the rest."""
        finder = _checker()
        scores: list[float] = []
        if boxes := finder.boxes(picture, _AS_IN_A_RUN):
            blur(picture, boxes)
            scores = finder.scores(picture, _AS_IN_A_RUN)
        self.pictures += 1
        self.faces += sum(score >= finder.threshold for score in scores)
        self.possible += len(scores)

    def __add__(self, other: BlurCheck) -> BlurCheck:
        return BlurCheck(self.pictures + other.pictures, self.faces + other.faces, self.possible + other.possible)

    def __str__(self) -> str:
        threshold = _checker().threshold
        return (
            f"{format_count(self.faces, 'face')} in {format_count(self.pictures, 'blurred picture')} at the detector's "
            f"threshold of {threshold:g}, {self.possible:,} at {SCORE_SHARE * threshold:g}"
        )


def blur(picture: NDArray[np.uint8], boxes: Iterable[Box]) -> None:
    """Blur boxes and a margin around them in a picture, uint8 (h, w, 3), in place, beyond recognition."""
    height, width = picture.shape[:2]
    for x, y, w, h in _merged(boxes):
        left, right = (round(min(max(edge, 0), 1) * width) for edge in (x - MARGIN * w, x + (1 + MARGIN) * w))
        top, bottom = (round(min(max(edge, 0), 1) * height) for edge in (y - MARGIN * h, y + (1 + MARGIN) * h))
        part = picture[top:bottom, left:right]
        if part.size:
            few = cv2.resize(part, (_LEFT, _LEFT), interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(few, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)


def _merged(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that together cover all given ones; those of one face in neighbouring frames become one."""
    merged: list[Box] = []
    for box in boxes:
        for index, other in enumerate(merged):
            if _iou(box, other) >= _MIN_IOU:
                merged[index] = _union(box, other)
                break
        else:
            merged.append(box)
    return merged


def _iou(first: Box, second: Box) -> float:
    """Intersection over union."""
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    intersection = max(across, 0.0) * max(down, 0.0)
    return intersection / max(first[2] * first[3] + second[2] * second[3] - intersection, 1e-12)


def _union(first: Box, second: Box) -> Box:
    left, top = min(first[0], second[0]), min(first[1], second[1])
    right, bottom = max(first[0] + first[2], second[0] + second[2]), max(first[1] + first[3], second[1] + second[3])
    return left, top, right - left, bottom - top


def searched(frames: Iterable[DrawnFrame]) -> Iterator[tuple[DrawnFrame, Sequence[Box]]]:
    """Frames, each with the boxes to blur in it. Some are searched ahead, in a thread: the networks leave the other
    cores free for decoding and drawing."""
    waiting: deque[tuple[DrawnFrame, Future[list[Box]]]] = deque()
    last: DrawnFrame | None = None  # The last one that was searched at both sizes.

    def first() -> tuple[DrawnFrame, Sequence[Box]]:
        frame, boxes = waiting.popleft()
        return frame, [*boxes.result(), *(face.box for face in frame.faces)]

    with ThreadPoolExecutor(1) as thread:
        for frame in frames:
            sides = _AS_IN_A_RUN
            if last is None or frame.scene != last.scene or frame.time >= last.time + _BOTH_SIZES_EVERY_S:
                last, sides = frame, _LONGEST_SIDES
            waiting.append((frame, thread.submit(face_finder().boxes, frame.picture, sides)))
            if len(waiting) > _SEARCHED_AHEAD:
                yield first()
        while waiting:
            yield first()


def blurred(frames: Iterable[tuple[DrawnFrame, Sequence[Box]]]) -> Iterator[DrawnFrame]:
    """Frames in which all boxes are blurred, those of the frames shortly before and after in the same scene too.

    Args:
        frames: In the order of their times, each with the boxes found in it. Pictures are changed in place.
    """
    waiting: deque[DrawnFrame] = deque()
    found: deque[tuple[Fraction, int, Sequence[Box]]] = deque()  # Time, scene, boxes: pictures are let go of.

    def first() -> DrawnFrame:
        frame = waiting.popleft()
        while found[0][0] < frame.time - _AFTER_S:
            found.popleft()
        blur(frame.picture, (box for _, scene, boxes in found if scene == frame.scene for box in boxes))
        return frame

    for frame, boxes in frames:
        while waiting and (waiting[0].time < frame.time - _BEFORE_S or len(waiting) >= _MOST_WAITING):
            yield first()
        waiting.append(frame)
        found.append((frame.time, frame.scene, boxes))
    while waiting:
        yield first()
