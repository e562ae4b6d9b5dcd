"""Text in any script: drawn with a font that has it, or visibly escaped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import ImageFont, features

from fer_batch.preview import text
from fer_batch.preview.text import draw_text, fitted, text_width

WHITE = (255, 255, 255)


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system without fonts, as containers often are."""
    yield from system_fonts(monkeypatch)


@pytest.fixture
def dejavu() -> Path:
    """A font with the letters of Arabic, without those of Devanagari, Thai and Chinese."""
    return Path(pytest.importorskip("matplotlib").get_data_path(), "fonts/ttf/DejaVuSans.ttf")


@pytest.fixture
def only_dejavu(dejavu: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system with one font."""
    yield from system_fonts(monkeypatch, dejavu)


@pytest.fixture
def hundred_fonts(dejavu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system with many fonts, which lack the same letters."""
    fonts = [tmp_path / f"{number}.ttf" for number in range(100)]
    shutil.copy(dejavu, fonts[0])
    for font in fonts[1:]:
        os.link(fonts[0], font)
    yield from system_fonts(monkeypatch, *fonts)


def system_fonts(monkeypatch: pytest.MonkeyPatch, *fonts: Path) -> Iterator[None]:
    """Have these fonts for as long as the fixture lives."""
    monkeypatch.setattr(text, "_fonts", lambda: fonts)
    caches = (text._font_for, text._mask, text.text_width)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
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


@pytest.mark.parametrize(("x", "y"), [(-10, -10), (25, 0), (0, 8), (-100, 0)])
def test_text_across_the_edges_is_cut_off(x: int, y: int) -> None:
    canvas, line = np.zeros((20, 30, 3), np.uint8), "wide text" * 20
    draw_text(canvas, line, x, y, 20, WHITE)
    larger = np.zeros((220, 430, 3), np.uint8)
    draw_text(larger, line, 200 + x, 100 + y, 20, WHITE)
    assert np.array_equal(canvas, larger[100:120, 200:230])
    assert canvas.any()


@pytest.mark.parametrize(("x", "y"), [(30, 0), (100, 0), (0, 20), (0, 25), (100, 25), (0, -20), (-5000, 0)])
def test_text_wholly_beyond_the_edges_is_not_drawn(x: int, y: int) -> None:
    canvas = np.zeros((20, 30, 3), np.uint8)
    draw_text(canvas, "wide text" * 20, x, y, 20, WHITE)
    assert not canvas.any()


def test_very_long_name_is_fitted_in_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Mock(wraps=text_width)
    monkeypatch.setattr(text, "text_width", measured)
    short = fitted("folder/" * 570 + "clip.mp4", 20, 600)
    assert 500 < text_width(short, 20) <= 600
    assert measured.call_count < 20


@pytest.mark.usefixtures("hundred_fonts")
def test_letters_that_no_font_has_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_alone = Mock(wraps=ImageFont.FreeTypeFont.getmask)
    monkeypatch.setattr(ImageFont.FreeTypeFont, "getmask", lambda *arguments: drawn_alone(*arguments))
    chinese = [chr(0x4E00 + number) for number in range(60)]
    short = fitted("".join(chinese) + ".mp4", 20, 600)
    drawn(short)
    letters = {*chinese, *".mp4", "…", text._MISSING}
    assert drawn_alone.call_count <= 101 * len(letters) + len("\\u0123456789abcdef")


@pytest.mark.parametrize("name", ["हिन्दी", "กินข้าว"])
@pytest.mark.usefixtures("only_dejavu")
def test_accents_without_a_font_are_escaped(name: str) -> None:
    assert np.array_equal(drawn(name), drawn(name.encode("ascii", "backslashreplace").decode()))


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d", "\ufe0f"])
@pytest.mark.parametrize("fonts", ["no_fonts", "only_dejavu"])
def test_joiners_are_not_seen(joiner: str, fonts: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(fonts)
    assert np.array_equal(drawn(f"1{joiner}2"), drawn("12"))


@pytest.mark.skipif(not features.check("raqm"), reason="this Pillow does not shape text")
@pytest.mark.usefixtures("only_dejavu")
def test_joiners_shape_the_letters_around_them() -> None:
    name = "می\u200cخواهم"
    assert not np.array_equal(drawn(name), drawn(name.replace("\u200c", "")))
    assert text_width(name, 20) < 2 * text_width(name.replace("\u200c", ""), 20)


@pytest.mark.usefixtures("no_fonts")
def test_accents_of_decomposed_names_are_drawn_on_their_letters() -> None:
    assert np.array_equal(drawn("Cafe\u0301"), drawn("Café"))
    assert not np.array_equal(drawn("Café"), drawn("Cafe"))


def test_user_without_a_home_has_the_fonts_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    with_home = list(text._font_folders())
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError("Could not determine home directory.")))
    without = list(text._font_folders())
    assert without
    assert set(without) <= set(with_home)
