"""One picture of a run's strongest moments: the report's, each as the sampled frame in which it was strongest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_batch.log import one_line
from fer_batch.media.video import open_video
from fer_batch.preview.drawing import draw_faces
from fer_batch.preview.image import blur_faces
from fer_batch.preview.picture_size import resized, sized
from fer_batch.preview.samples import Samples
from fer_batch.preview.sources import Source, read_samples
from fer_batch.preview.text import Colour, draw_text, fitted
from fer_batch.records import MediaError
from fer_batch.report.formatting import format_tenths
from fer_batch.report.highlights import Moment, clear_moments, shown_moments
from fer_batch.report.loader import read_measured, read_moments, read_overall

log = logging.getLogger(__name__)

SHEET_FILE = "moments.jpg"
#: A tile: width and height of its picture, height of a line of its text, in pixels.
_WIDTH, _HEIGHT, _LINE = 480, 270, 20
_MARGIN = 12
_COLUMNS = 4
#: The heading, and the height of its first line, in pixels.
_HEADING, _HEADING_LINE = "Moments that stand out", 28
_NOTE = "Apparent expressions, not what people feel. Each picture is the frame with the window's strongest value."
_GROUND: Colour = (24, 24, 24)
_LETTERS: Colour = (235, 235, 235)
_FAINT: Colour = (170, 170, 170)


def moments_of(directory: Path) -> list[Moment]:
    """The moments that the report of a run shows, in its order."""
    overall, measured = read_overall(directory), read_measured(directory)
    videos = {row["media_path"]: row for row in measured.videos}
    return shown_moments(clear_moments(read_moments(directory), overall, videos))


def contact_sheet(
    directory: Path, sources: Sequence[Source], labels: Sequence[str], blurred: bool
) -> tuple[NDArray[np.uint8] | None, bool]:
    """Draw the contact sheet of a run's moments.

    Args:
        directory: The run's folder; it must have summaries.
        sources: The files whose moments are shown.
        labels: The emotions that the tables have columns for.
        blurred: Whether faces are made unrecognizable.

    Returns:
        The sheet, uint8 (h, w, 3), BGR, None where there is no moment to show; and whether all could be drawn. Of one
        that could not, a warning says why.
    """
    by_path = {source.path: source for source in sources}
    moments = [moment for moment in moments_of(directory) if moment.path in by_path]
    tiles = []
    for moment in moments:
        source = by_path[moment.path]
        try:
            source.check()
            picture, time = _picture(source, read_samples(directory, source, labels), moment, blurred)
        except (MediaError, OSError) as error:
            log.warning("%s", one_line(f"{moment.path}: {error}"))
            continue
        tiles.append(_tile(picture, time, moment))
    return (_arranged(tiles) if tiles else None), len(tiles) == len(moments)


def _picture(source: Source, samples: Samples, moment: Moment, blurred: bool) -> tuple[NDArray[np.uint8], float]:
    """The sampled frame of a moment in which its measure was strongest, in the size of its tile, with its faces, and
    its second."""
    inside = np.flatnonzero((samples.times >= moment.start) & (samples.times < moment.end))
    sign = 1 if moment.direction == "high" else -1
    values = np.nan_to_num(sign * samples.values[moment.estimate.name][inside], nan=-np.inf)
    time = float(samples.times[inside[int(values.argmax())]])
    with open_video(source.file) as reader:
        shown = next((frame for frame in reader.frames(start=time) if float(frame.time) >= time), None)
        if shown is None:
            raise reader.no_frames_error()
        picture = sized(shown)
    faces = samples.faces_at(time)
    if blurred:  # Before it is reduced: small faces are found too.
        blur_faces(picture, faces)
    picture = _in_tile(picture)
    draw_faces(picture, faces, arrows=not blurred)  # Letters keep their size.
    return picture, time


def _in_tile(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture, as large as it can be within a tile."""
    scale = min(_WIDTH / picture.shape[1], _HEIGHT / picture.shape[0])
    return resized(picture, (max(1, round(scale * picture.shape[1])), max(1, round(scale * picture.shape[0]))))


def _tile(picture: NDArray[np.uint8], time: float, moment: Moment) -> NDArray[np.uint8]:
    """A picture, that of a time in seconds, in the middle of a tile, above what it shows."""
    tile = np.full((_HEIGHT + 3 * _LINE, _WIDTH, 3), _GROUND, np.uint8)
    height, width = picture.shape[:2]
    left, top = (_WIDTH - width) // 2, (_HEIGHT - height) // 2
    tile[top : top + height, left : left + width] = picture
    estimate = moment.estimate
    lines = (
        f"{moment.what} {estimate.text}",
        f"mean of {moment.when}, 95% interval {estimate.interval}",
        f"{moment.path} at {format_tenths(time)}",
    )
    for row, (line, colour) in enumerate(zip(lines, (_LETTERS, _FAINT, _FAINT), strict=True)):
        draw_text(tile, fitted(line, _LINE, _WIDTH), 0, _HEIGHT + row * _LINE, _LINE, colour)
    return tile


def _arranged(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Tiles in rows, in their order, below a heading."""
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    height, width = (side + _MARGIN for side in tiles[0].shape[:2])
    top = 2 * _MARGIN + _HEADING_LINE + _LINE
    sheet = np.full((top + rows * height, _MARGIN + columns * width, 3), _GROUND, np.uint8)
    draw_text(sheet, _HEADING, _MARGIN, _MARGIN, _HEADING_LINE, _LETTERS)
    note = fitted(_NOTE, _LINE, sheet.shape[1] - 2 * _MARGIN)
    draw_text(sheet, note, _MARGIN, _MARGIN + _HEADING_LINE, _LINE, _FAINT)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        upper, left = top + row * height, _MARGIN + column * width
        sheet[upper : upper + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet
