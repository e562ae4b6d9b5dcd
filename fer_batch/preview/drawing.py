"""Boxes, head directions and labels of faces, drawn into a picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, isnan, radians, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.preview.samples import DrawnFace
from fer_batch.preview.text import Colour, draw_text, text_width

#: Colours of tracks, one after the other: those of Okabe & Ito (2008), which colour-blind readers can tell apart.
TRACK_COLOURS: tuple[Colour, ...] = (
    (0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240), (167, 121, 204), (0, 94, 213), (178, 114, 0),
)  # fmt: skip
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)
#: Length of the arrow of a head that is turned by 90 degrees, in widths of its box.
_ARROW = 0.9
#: Below this length, in widths of the box, a dot takes the arrow's place: a head turned by less than about 13 degrees.
_LEAST_ARROW = 0.2
#: Padding of a label, as a share of the height of its lines.
_PADDING = 0.25

#: A rectangle in pixels: left, top, right, bottom.
Rectangle = tuple[int, int, int, int]


def text_size(width: int, height: int) -> int:
    """Height of a line of text that suits a picture of that size, all in pixels; at least 14."""
    return max(14, round(min(width / 36, height / 24)))


def track_colour(track: int | None) -> Colour:
    """The colour of a track's box."""
    return TRACK_COLOURS[(track or 0) % len(TRACK_COLOURS)]


def pixels(face: DrawnFace, width: int, height: int) -> Rectangle:
    """The box of a face in a picture of that size, all in pixels."""
    x, y, w, h = face.box
    return round(x * width), round(y * height), round((x + w) * width), round((y + h) * height)


def draw_faces(picture: NDArray[np.uint8], faces: Sequence[DrawnFace], arrows: bool = True) -> None:
    """Draw box, head direction and label of every face.

    A box is solid on a sampled frame and dashed between samples.

    Args:
        picture: uint8 (h, w, 3), BGR. Changed in place.
        faces: Those of this frame.
        arrows: Whether the head's direction is an arrow; else it stands in the label. On a blurred face a detector
            takes box and arrow for a face.
    """
    height, width = picture.shape[:2]
    size = text_size(width, height)
    boxes = [pixels(face, width, height) for face in faces]
    for face, box in zip(faces, boxes, strict=True):
        _draw_box(picture, box, track_colour(face.track), max(2, size // 8), dashed=not face.measured)
        if arrows and face.angles is not None:
            _draw_direction(picture, box, face.angles, max(1, min(size // 8, (box[2] - box[0]) // 24)))
    taken = list(boxes)
    for face, box in zip(faces, boxes, strict=True):
        lines = _label(face) if arrows else [*_label(face), *_direction(face)]
        if not lines:
            continue
        place = _free_place(box, _label_size(lines, size), taken, width, height)
        taken.append(place)
        _draw_label(picture, lines, place, size, track_colour(face.track))


def _draw_box(picture: NDArray[np.uint8], box: Rectangle, colour: Colour, thickness: int, dashed: bool) -> None:
    left, top, right, bottom = box
    if not dashed:
        cv2.rectangle(picture, (left, top), (right, bottom), colour, thickness)
        return
    dash = max(3 * thickness, (right - left + bottom - top) // 16)
    for start in range(left, right, 2 * dash):
        end = min(start + dash, right)
        cv2.line(picture, (start, top), (end, top), colour, thickness)
        cv2.line(picture, (start, bottom), (end, bottom), colour, thickness)
    for start in range(top, bottom, 2 * dash):
        end = min(start + dash, bottom)
        cv2.line(picture, (left, start), (left, end), colour, thickness)
        cv2.line(picture, (right, start), (right, end), colour, thickness)


def _draw_direction(
    picture: NDArray[np.uint8], box: Rectangle, angles: tuple[float, float, float], thickness: int
) -> None:
    """An arrow from the middle of the face to where the nose points: right with yaw, up with pitch; a dot for a face
    that looks into the camera."""
    left, top, right, bottom = box
    yaw, pitch = radians(angles[0]), radians(angles[1])
    start = ((left + right) // 2, (top + bottom) // 2)
    length = _ARROW * (right - left)
    end = (round(start[0] + length * sin(yaw) * cos(pitch)), round(start[1] - length * sin(pitch)))
    reach = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    turned = reach > max(8 * thickness, _LEAST_ARROW * (right - left))
    for colour, width in ((_BLACK, thickness + 2), (_WHITE, thickness)):  # An outline, for bright faces.
        cv2.circle(picture, start, width, colour, cv2.FILLED, cv2.LINE_AA)
        if turned:
            cv2.arrowedLine(picture, start, end, colour, width, cv2.LINE_AA, tipLength=0.3)


def _label(face: DrawnFace) -> list[str]:
    number = [] if face.track is None else [f"#{face.track}"]
    return number + [f"{name} {100 * share:.0f}%" for name, share in face.expressions if not isnan(share)]


def _direction(face: DrawnFace) -> list[str]:
    if face.angles is None:
        return []
    yaw, pitch, _ = face.angles
    return [f"yaw {round(yaw)}° pitch {round(pitch)}°".replace("-", "−")]


def _label_size(lines: Sequence[str], size: int) -> tuple[int, int]:
    padding = round(_PADDING * size)
    return max(text_width(line, size) for line in lines) + 2 * padding, len(lines) * size + 2 * padding


def _free_place(
    box: Rectangle, label: tuple[int, int], taken: Sequence[Rectangle], width: int, height: int
) -> Rectangle:
    """Where a label covers least of other boxes and labels: above, below, right or left of its box, within the
    picture."""
    left, top, right, bottom = box
    places = [(left, top - label[1]), (left, bottom), (right, top), (left - label[0], top)]
    inside = [(min(max(x, 0), max(width - label[0], 0)), min(max(y, 0), max(height - label[1], 0))) for x, y in places]
    candidates = [(x, y, x + label[0], y + label[1]) for x, y in inside]
    return min(candidates, key=lambda place: sum(_overlap(place, other) for other in taken))


def _overlap(first: Rectangle, second: Rectangle) -> int:
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    return max(across, 0) * max(down, 0)


def _draw_label(picture: NDArray[np.uint8], lines: Sequence[str], place: Rectangle, size: int, colour: Colour) -> None:
    left, top, right, bottom = place
    under = picture[top:bottom, left:right]
    under[:] = under // 4  # Dark enough for white letters, whatever lies below.
    cv2.rectangle(picture, (left, top), (left + max(2, size // 8), bottom), colour, cv2.FILLED)
    padding = round(_PADDING * size)
    for row, line in enumerate(lines):
        draw_text(picture, line, left + padding + size // 8, top + padding + row * size, size, _WHITE)
