"""Text in any script: drawn with a font that has it, or visibly escaped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fer_batch.preview import text
from fer_batch.preview.text import draw_text, fitted, text_width

WHITE = (255, 255, 255)


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system without fonts, as containers often are."""
    monkeypatch.setattr(text, "_fonts", lambda: ())
    for cached in (text._font_for, text._mask):
        cached.cache_clear()
    yield
    for cached in (text._font_for, text._mask):
        cached.cache_clear()


def drawn(line: str, size: int = 20) -> np.ndarray:
    canvas = np.zeros((size, 600, 3), np.uint8)
    draw_text(canvas, line, 0, 0, size, WHITE)
    return canvas


@pytest.mark.parametrize(("name", "escaped"), [("夏.mp4", "\\u590f.mp4"), ("шум", "\\u0448\\u0443\\u043c")])
@pytest.mark.usefixtures("no_fonts")
def test_letters_without_a_font_are_escaped(name: str, escaped: str) -> None:
    assert np.array_equal(drawn(name), drawn(escaped))
    assert drawn(name).any()


def test_characters_that_break_or_reverse_lines_are_escaped() -> None:
    assert np.array_equal(drawn("a\u202eb"), drawn("a\\u202eb"))


@pytest.mark.parametrize("size", [14, 20, 90])
def test_letters_fit_into_their_line(size: int) -> None:
    line = drawn("Ågjp", size)
    assert line[1 : size - 1].any()
    assert not line[0].any()
    assert not line[-1].any()


def test_long_name_keeps_its_beginning_and_end() -> None:
    name = "a long folder/with a long name/" * 4 + "clip.mp4"
    short = fitted(name, 20, 200)
    assert text_width(short, 20) <= 200
    assert short.startswith("a long")
    assert short.endswith("mp4")
    assert "…" in short


def test_text_beyond_the_edges_is_cut_off() -> None:
    canvas = np.zeros((20, 30, 3), np.uint8)
    for x, y in ((-10, -10), (25, 15), (100, 0), (0, 100), (-500, 0)):
        draw_text(canvas, "wide text", x, y, 20, WHITE)
    assert canvas.shape == (20, 30, 3)
