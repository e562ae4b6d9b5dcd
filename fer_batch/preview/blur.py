"""Make faces unrecognizable: in a picture, and in all frames of a video, also where a face is missed for a moment."""

from __future__ import annotations

import pickle
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from tempfile import SpooledTemporaryFile

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.preview.face_finder import AS_IN_A_RUN, BOTH_SIZES, found_ahead
from fer_batch.preview.samples import Box, DrawnFrame

#: What is blurred around a box, on each side, as a share of its width and height: hair, ears, chin.
MARGIN = 0.35
#: A face is blurred that long before and after it is found, in seconds: it may be missed in a frame.
_BEFORE_S, _AFTER_S = Fraction(1, 4), Fraction(1, 2)
#: Frames of a scene less than this, in seconds, after one that was searched at both sizes are searched as in a run
#: alone: three of four at 30 a second. Small faces there get the boxes of the frames around them.
_BOTH_SIZES_EVERY_S = Fraction(1, 8)
#: Bytes of the frames that wait for those after them: 8 of 4K, 75 of 720p.
_MOST_WAITING = 200_000_000
#: So many pixels across and down are left of a face. Of 3 by 3 the detector still takes some for a face.
_LEFT = 2
#: Bytes of boxes up to which there is no temporary file.
_IN_MEMORY = 1 << 20
#: Boxes whose intersection over union is at least this are blurred as one.
_MIN_IOU = 0.5


def blur(picture: NDArray[np.uint8], boxes: Iterable[Box]) -> None:
    """Blur boxes and a margin around them in a picture, uint8 (h, w, 3), in place, beyond recognition."""
    height, width = picture.shape[:2]
    for x, y, w, h in _merged(boxes):
        left, right = (round(edge * width) for edge in _across(x, w))
        top, bottom = (round(min(max(edge, 0), 1) * height) for edge in (y - MARGIN * h, y + (1 + MARGIN) * h))
        part = picture[top:bottom, left:right]
        if part.size:
            few = cv2.resize(part, (_LEFT, _LEFT), interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(few, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)


def _across(x: float, width: float) -> tuple[float, float]:
    """From where to where a box and its margins are blurred, 0..1. Up to a side of the picture that is less than
    another margin away: there a face comes in and leaves, in part, before and after it is found."""
    left, right = x - MARGIN * width, x + (1 + MARGIN) * width
    return (
        min(max(left, 0.0), 1.0) if left > MARGIN * width else 0.0,
        min(max(right, 0.0), 1.0) if right < 1 - MARGIN * width else 1.0,
    )


class VideoBlur:
    """What is blurred in one video. A context manager. The video may be drawn more than once: what is found in its
    frames is kept in a temporary file, so that memory does not grow with its length."""

    def __init__(self) -> None:
        self._found = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # The boxes of each frame in turn, pickled.
        self._is_searched = False
        self._shown: list[tuple[Fraction, Box]] = []  # Sorted.

    def __enter__(self) -> VideoBlur:
        return self

    def __exit__(self, *_: object) -> None:
        self._found.close()

    def frames(self, frames: Iterable[DrawnFrame]) -> Iterator[DrawnFrame]:
        """The frames, blurred in place: faces of the tables, and what is found, in the frames around them too. The
        first call searches them; later ones must be given the same."""
        boxes = self._known_boxes(frames) if self._is_searched else self._searched_boxes(frames)
        return _blurred((frame, [*found, *(face.box for face in frame.faces)]) for frame, found in boxes)

    def add_shown(self, time: Fraction, boxes: Iterable[Box]) -> None:
        """Have what is still found in the drawn film blurred as well.

        Args:
            time: Seconds after the film's first frame.
            boxes: As shares of the film's pictures.
        """
        for box in boxes:
            insort(self._shown, (time, box))

    def hide_shown(self, canvas: NDArray[np.uint8], time: Fraction) -> None:
        """Blur what `add_shown` was given of the film around a time, over all that is drawn: that may be what the
        detector takes for a face."""
        begin = bisect_left(self._shown, (time - _AFTER_S,))
        end = bisect_left(self._shown, (time + _BEFORE_S,))
        blur(canvas, [box for _, box in self._shown[begin:end]])

    def _searched_boxes(self, frames: Iterable[DrawnFrame]) -> Iterator[tuple[DrawnFrame, list[Box]]]:
        for frame, found in found_ahead(_searches(frames)):
            boxes = [box for _, box in found]
            pickle.dump(boxes, self._found)
            yield frame, boxes
        self._is_searched = True

    def _known_boxes(self, frames: Iterable[DrawnFrame]) -> Iterator[tuple[DrawnFrame, list[Box]]]:
        self._found.seek(0)
        for frame in frames:
            try:
                boxes = pickle.load(self._found)
            except EOFError:  # The source has grown. Frames that were not searched are not shown.
                return
            yield frame, boxes


def _searches(frames: Iterable[DrawnFrame]) -> Iterator[tuple[DrawnFrame, NDArray[np.uint8], Sequence[int]]]:
    """Frames, their pictures, and the sizes at which each is searched."""
    last: DrawnFrame | None = None  # The last one that was searched at both sizes.
    for frame in frames:
        sides = AS_IN_A_RUN
        if last is None or frame.scene != last.scene or frame.time >= last.time + _BOTH_SIZES_EVERY_S:
            last, sides = frame, BOTH_SIZES
        yield frame, frame.picture, sides


def _blurred(frames: Iterable[tuple[DrawnFrame, Sequence[Box]]]) -> Iterator[DrawnFrame]:
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
        most = max(1, _MOST_WAITING // frame.picture.nbytes)
        while waiting and (waiting[0].time < frame.time - _BEFORE_S or len(waiting) >= most):
            yield first()
        waiting.append(frame)
        found.append((frame.time, frame.scene, boxes))
    while waiting:
        yield first()


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
