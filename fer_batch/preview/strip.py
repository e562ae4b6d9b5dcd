"""The strip below a picture: the measures over time, and a cursor at the time that is shown."""

from __future__ import annotations

from math import isnan

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.measures import MEASURES, RANGES
from fer_batch.preview.drawing import text_size
from fer_batch.preview.samples import Samples
from fer_batch.preview.text import Colour, draw_text, fitted, text_width
from fer_batch.report.formatting import format_tenths, format_value, title

_GROUND: Colour = (24, 24, 24)
_FIELD: Colour = (44, 44, 44)
_ZERO: Colour = (90, 90, 90)
_LETTERS: Colour = (235, 235, 235)
_FAINT: Colour = (150, 150, 150)
_CURSOR: Colour = (255, 255, 255)
#: Colours of the measures, in their order.
_COLOURS: tuple[Colour, ...] = ((233, 180, 86), (66, 228, 240), (115, 190, 60), (0, 159, 230))
_NOTE, _NOTE_OF_IMAGES = "apparent expressions; dashed: between samples", "apparent expressions"


class Strip:
    """The strip of one file. What does not change with the time is drawn once.

    Attributes:
        height: In pixels.
    """

    def __init__(self, width: int, picture_height: int, name: str, samples: Samples, span: tuple[float, float]) -> None:
        """Lay out a strip.

        Args:
            width: Width of the picture, in pixels.
            picture_height: Height of the picture, in pixels: text grows with it.
            name: The file's name, in any script.
            samples: What the tables say of the file.
            span: First and last second that the strip shows; the same twice for an image.
        """
        self._size = max(12, round(0.85 * text_size(width, picture_height)))
        self._row = round(1.3 * self._size)
        self._pad = self._size // 3
        self.height = self._row * (1 + len(MEASURES)) + 2 * self._pad
        self._samples, self._span = samples, span
        names = max(text_width(title(name), self._size) for name in MEASURES)
        self._values_x = names + 3 * self._pad
        values = max(text_width(text, self._size) for text in ("−0.00", "100%"))
        #: Columns of the curves, from and to.
        self._left, self._right = self._values_x + values + self._pad, width - self._pad
        self._ground = self._draw_ground(width, name)

    @property
    def _moving(self) -> bool:
        return self._span[1] > self._span[0]

    def draw(self, time: float) -> NDArray[np.uint8]:
        """The strip at a time in seconds, uint8 (height, width, 3), BGR."""
        strip = self._ground.copy()
        values = self._samples.values_at(time)
        for row, measure in enumerate(MEASURES):
            text = format_value(measure, values[measure])
            draw_text(strip, text, self._values_x, self._top(row), self._size, _LETTERS)
            if not self._moving and not isnan(values[measure]):
                self._draw_bar(strip, row, values[measure])
        if self._moving:
            text = self._clock(time)
            left = strip.shape[1] - self._pad - text_width(text, self._size)
            draw_text(strip, text, left, self._pad, self._size, _LETTERS)
            x = round(self._column(time))
            cv2.line(strip, (x, self._top(0)), (x, self._top(len(MEASURES)) - 1), _CURSOR, max(1, self._size // 10))
        return strip

    def _clock(self, time: float) -> str:
        return f"{format_tenths(time)} / {format_tenths(self._span[1])}"

    def _top(self, row: int) -> int:
        return self._pad + self._row * (1 + row)

    def _column(self, time: float) -> float:
        start, end = self._span
        return self._left + (self._right - self._left) * min(max((time - start) / (end - start), 0.0), 1.0)

    def _height_of(self, row: int, measure: str, value: float) -> int:
        """The line of pixels of a value: the measure's range fills the row."""
        return round(self._top(row) + 1 + (1 - _share(measure, value)) * (self._row - 4))

    def _draw_ground(self, width: int, name: str) -> NDArray[np.uint8]:
        ground = np.full((self.height, width, 3), _GROUND, np.uint8)
        room = width - 2 * self._pad
        if self._moving:
            room -= 2 * self._pad + text_width(self._clock(self._span[1]), self._size)
        name = fitted(name, self._size, room)
        draw_text(ground, name, self._pad, self._pad, self._size, _LETTERS)
        note = _NOTE if self._moving else _NOTE_OF_IMAGES
        left = room - text_width(note, self._size)
        if left > text_width(name, self._size) + 3 * self._pad:
            draw_text(ground, note, left, self._pad, self._size, _FAINT)
        for row, measure in enumerate(MEASURES):
            draw_text(ground, title(measure), self._pad, self._top(row), self._size, _COLOURS[row])
            bottom = self._top(row) + self._row - 2
            cv2.rectangle(ground, (self._left, self._top(row)), (self._right, bottom), _FIELD, cv2.FILLED)
            zero = self._height_of(row, measure, 0.0)
            cv2.line(ground, (self._left, zero), (self._right, zero), _ZERO, 1)
            if self._moving:
                self._draw_curve(ground, row, measure)
        return ground

    def _draw_curve(self, ground: NDArray[np.uint8], row: int, measure: str) -> None:
        """The values over time: the mean of each column of pixels, joined, and broken where a frame has no face."""
        values = self._samples.values[measure]
        columns = np.array([round(self._column(time)) for time in self._samples.times.tolist()], int)
        inside = (self._samples.times >= self._span[0]) & (self._samples.times <= self._span[1])
        columns, values = columns[inside], values[inside]
        width = max(1, self._size // 8)
        points: list[tuple[int, int]] = []
        for column in [*np.unique(columns).tolist(), None]:
            here = values[columns == column] if column is not None else np.empty(0)
            known = here[~np.isnan(here)]
            if len(known):
                points.append((column, self._height_of(row, measure, float(known.mean()))))
                continue
            if points:
                line = np.array(points, np.int32)
                cv2.polylines(ground, [line], False, _COLOURS[row], width, cv2.LINE_AA)
                if len(points) == 1:  # A line of one point is not drawn.
                    cv2.circle(ground, points[0], width, _COLOURS[row], cv2.FILLED)
            points = []

    def _draw_bar(self, strip: NDArray[np.uint8], row: int, value: float) -> None:
        """The value of an image, as a bar from zero on."""
        shares = (_share(MEASURES[row], edge) for edge in (0.0, value))
        zero, end = (round(self._left + (self._right - self._left) * share) for share in shares)
        bottom = self._top(row) + self._row - 2
        cv2.rectangle(strip, (min(zero, end), self._top(row)), (max(zero, end), bottom), _COLOURS[row], cv2.FILLED)


def _share(measure: str, value: float) -> float:
    """Where a value lies in the range of its measure, 0..1."""
    minimum, maximum = RANGES.get(measure, (0.0, 1.0))
    return (value - minimum) / (maximum - minimum)
