"""Text in pictures: a font that covers it, one cached mask per text and size."""

from __future__ import annotations

import os
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from fer_batch.log import one_line

#: A colour as OpenCV orders it: blue, green, red, 0..255.
Colour = tuple[int, int, int]
#: What changes the letters around it and is not seen itself: joiners, as in Persian and Hindi, variation selectors.
_INVISIBLE = "\u200c\u200d\ufe0e\ufe0f"
#: A character that no font has: what is drawn for it is the font's sign for a missing one.
_MISSING = "\U0010fffe"
_PROBE_SIZE = 24
_SUFFIXES = (".ttf", ".ttc", ".otf")
#: Fonts that cover much are tried first; the others in the order of their paths.
_PREFERRED = ("dejavusans.", "notosans-regular", "notosanscjk-regular", "arial unicode", "segoeui.", "arial.")
#: Texts kept as masks. Labels change with the samples; a few hundred are in use at a time.
_CACHED = 1024
#: Letters of fonts that are remembered: those of a long name in each of a thousand fonts, which all lack some.
_TESTED = 1 << 18


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
    # Ends below zero, of text beyond the lower and right edges, would count from the mask's own ends.
    part = mask[top - y : max(0, canvas.shape[0] - y), left - x : max(0, canvas.shape[1] - x)]
    if part.size == 0:
        return
    under = canvas[top : top + part.shape[0], left : left + part.shape[1]]
    under[:] = under + (np.array(colour, np.float32) - under) * part[:, :, None]


@lru_cache(_CACHED)
def text_width(text: str, size: int) -> int:
    """Width of a line of text, in pixels, at a line height of `size` pixels."""
    font, text = _set(text, size)
    left, _, right, _ = font.getbbox(text, anchor="ls")
    return max(1, round(font.getlength(text)), int(right - min(left, 0)))


def fitted(text: str, size: int, width: int) -> str:
    """The text, or, where it is wider than `width` pixels, its beginning and end around an ellipsis."""
    if text_width(text, size) <= width:
        return text

    def shortened(kept: int) -> str:
        return f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"

    lengths = range(2, len(text))
    fitting = bisect_right(lengths, width, key=lambda kept: text_width(shortened(kept), size))
    return shortened(lengths[fitting - 1]) if fitting else "…"


@lru_cache(_CACHED)
def _mask(text: str, size: int) -> NDArray[np.float32]:
    """How much of each pixel letters cover, float32 (size, width), 0..1."""
    width = text_width(text, size)
    font, text = _set(text, size)
    ascent, descent = font.getmetrics()
    mask, (left, top) = font.getmask2(text, mode="L", anchor="ls")
    drawn = np.asarray(mask, np.float32).reshape(mask.size[::-1]) / 255
    column = max(0, left)
    line = np.zeros((size, width), np.float32)
    # The baseline, such that ascenders and descenders lie in the middle of the line.
    row = round((size + ascent - descent) / 2) + top
    inside = drawn[max(0, -row) : size - row]
    line[max(0, row) : max(0, row) + len(inside), column : column + drawn.shape[1]] = inside
    return line


def _set(text: str, size: int) -> tuple[ImageFont.FreeTypeFont, str]:
    """The font in which a line of `size` pixels is set, and the text with what the font lacks escaped."""
    # Composed letters, as the names of macOS are not: fonts may have no accents on their own.
    text = one_line(unicodedata.normalize("NFC", text), keep=_INVISIBLE)
    path = _font_for(frozenset(text))
    # A line holds ascenders and descenders: letters are about three quarters of its height.
    font = _font(path, max(6, round(0.75 * size)))
    if font.layout_engine == ImageFont.Layout.BASIC:  # It would draw signs for missing letters.
        text = text.translate(dict.fromkeys(map(ord, _INVISIBLE)))
    return font, "".join(char if _covers(path, char) else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode()


@lru_cache(64)
def _font_for(characters: frozenset[str]) -> Path | None:
    """The first font that has all characters; else the one that has most of them. None for Pillow's own."""
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
    if sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"
    elif sys.platform == "darwin":
        yield from (*_in_home("Library/Fonts"), Path("/Library/Fonts"), Path("/System/Library/Fonts"))
    else:
        data = os.environ.get("XDG_DATA_HOME")
        shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        yield from (*_in_home(".fonts"), *([Path(data, "fonts")] if data else _in_home(".local/share/fonts")))
        yield from (Path(folder, "fonts") for folder in shared.split(":"))


def _in_home(folder: str) -> list[Path]:
    """A folder of the user's; none where the user has no home, as containers may run under any number."""
    try:
        return [Path.home() / folder]
    except RuntimeError:
        return []


def _files(folder: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(folder):  # A folder that is missing or can't be listed gives none.
        yield from (Path(directory) / name for name in names if name.lower().endswith(_SUFFIXES))


@lru_cache(256)
def _font(path: Path | None, size: int, layout: ImageFont.Layout | None = None) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size, layout_engine=layout)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels hold FreeType.
    return font


@lru_cache(_TESTED)
def _covers(path: Path | None, char: str) -> bool:
    """Whether a font has a letter: it draws something else for it than for one that no font has."""
    if char.isspace() or char in _INVISIBLE:
        return True
    try:
        return _drawn(path, char) != _drawn_for_missing(path)
    except OSError:  # No font that FreeType reads.
        return False


@lru_cache(_CACHED)
def _drawn_for_missing(path: Path | None) -> tuple[tuple[int, int], bytes]:
    return _drawn(path, _MISSING)


def _drawn(path: Path | None, char: str) -> tuple[tuple[int, int], bytes]:
    # Without shaping, which puts a dotted circle before an accent on its own and leaves some characters out.
    mask = _font(path, _PROBE_SIZE, ImageFont.Layout.BASIC).getmask(char)
    return mask.size, bytes(mask)
