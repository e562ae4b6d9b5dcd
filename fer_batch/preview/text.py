"""Text in pictures: a font that covers it, one cached mask per text and size."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from fer_batch.log import one_line

#: A colour as OpenCV orders it: blue, green, red, 0..255.
Colour = tuple[int, int, int]
#: A character that no font has: what is drawn for it is the font's sign for a missing one.
_MISSING = "\U0010fffe"
_PROBE_SIZE = 24
_SUFFIXES = (".ttf", ".ttc", ".otf")
#: Fonts that cover much are tried first; the others in the order of their paths.
_PREFERRED = ("dejavusans.", "notosans-regular", "notosanscjk-regular", "arial unicode", "segoeui.", "arial.")
#: Texts kept as masks. Labels change with the samples; a few hundred are in use at a time.
_CACHED = 1024


def draw_text(canvas: NDArray[np.uint8], text: str, x: int, y: int, size: int, colour: Colour) -> None:
    """Draw one line of text into a picture; what lies outside of it is cut off.

    Args:
        canvas: The picture, uint8 (h, w, 3), BGR. Changed in place.
        text: The text, in any script.
        x: Left end, in pixels.
        y: Top of the line, in pixels.
        size: Height of the line, in pixels.
        colour: Colour of the letters.
    """
    mask = _mask(text, size)
    top, left = max(y, 0), max(x, 0)
    part = mask[top - y : canvas.shape[0] - y, left - x : canvas.shape[1] - x]
    if part.size == 0:
        return
    under = canvas[top : top + part.shape[0], left : left + part.shape[1]]
    under[:] = under + (np.array(colour, np.float32) - under) * part[:, :, None]


def text_width(text: str, size: int) -> int:
    """Width of a line of text, in pixels, at a line height of `size` pixels."""
    return int(_mask(text, size).shape[1])


def fitted(text: str, size: int, width: int) -> str:
    """The text, or, where it is wider than `width` pixels, its beginning and end around an ellipsis."""
    if text_width(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
        if text_width(short, size) <= width:
            return short
    return "…"


@lru_cache(_CACHED)
def _mask(text: str, size: int) -> NDArray[np.float32]:
    """How much of each pixel letters cover, float32 (size, width), 0..1."""
    text = one_line(text)
    path = _font_for(text)
    # A line holds ascenders and descenders: letters are about three quarters of its height.
    font = _font(path, max(6, round(0.75 * size)))
    text = "".join(char if _covers(path, char) else _escaped(char) for char in text)
    ascent, descent = font.getmetrics()
    mask, (left, top) = font.getmask2(text, mode="L", anchor="ls")
    drawn = np.asarray(mask, np.float32).reshape(mask.size[::-1]) / 255
    column = max(0, left)
    line = np.zeros((size, max(1, round(font.getlength(text)), column + drawn.shape[1])), np.float32)
    # The baseline, such that ascenders and descenders lie in the middle of the line.
    row = round((size + ascent - descent) / 2) + top
    inside = drawn[max(0, -row) : size - row]
    line[max(0, row) : max(0, row) + len(inside), column : column + drawn.shape[1]] = inside
    return line


def _escaped(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


@lru_cache(64)
def _font_for(text: str) -> Path | None:
    """The first font that covers a text; else the one that covers most of it. None for Pillow's own."""
    characters = {char for char in text if not char.isspace()}
    best, most = None, -1
    for path in (*_fonts(), None):
        covered = sum(_covers(path, char) for char in characters)
        if covered == len(characters):
            return path
        if covered > most:
            best, most = path, covered
    return best


@lru_cache(1)
def _fonts() -> tuple[Path, ...]:
    """The font files of this system that can be read, the most useful ones first."""

    def rank(path: Path) -> tuple[int, str]:
        name = path.name.lower()
        return next((i for i, start in enumerate(_PREFERRED) if name.startswith(start)), len(_PREFERRED)), str(path)

    return tuple(sorted((path for folder in _font_folders() for path in _files(folder)), key=rank))


def _font_folders() -> Iterator[Path]:
    """Where fonts are kept, by system."""
    home = Path.home()
    if sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"
    elif sys.platform == "darwin":
        yield from (home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts"))
    else:
        shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        data = os.environ.get("XDG_DATA_HOME") or home / ".local/share"
        yield from (home / ".fonts", *(Path(folder) / "fonts" for folder in (data, *shared.split(":"))))


def _files(folder: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(folder):  # A folder that is missing or can't be listed gives none.
        yield from (Path(directory) / name for name in names if name.lower().endswith(_SUFFIXES))


@lru_cache(256)
def _font(path: Path | None, size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels hold FreeType.
    return font


@lru_cache(4096)
def _covers(path: Path | None, char: str) -> bool:
    """Whether a font has a letter: it draws something else for it than for one that no font has."""
    if char.isspace():
        return True
    try:
        font = _font(path, _PROBE_SIZE)
        return _drawn(font, char) != _drawn(font, _MISSING)
    except OSError:  # No font that FreeType reads.
        return False


def _drawn(font: ImageFont.FreeTypeFont, char: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(char)
    return mask.size, bytes(mask)
