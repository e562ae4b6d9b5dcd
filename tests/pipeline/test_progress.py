"""The bar moves with the media and is silent where nobody looks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fer_batch.pipeline.progress import Progress
from fer_batch.pipeline.stats import Processed
from fer_batch.pipeline.worker import NO_CROPS
from fer_batch.records import Code, Failure, Media, MediaInfo, Piece, Prepared, SampledFrame, Stage
from tests.helpers.clips import SAMPLES
from tests.helpers.command import COMMAND, fer_batch

FILM, PHOTO = Media("a.mp4", "a.mp4", "video", 1000, 0), Media("b.jpg", "b.jpg", "image", 10, 0)


class Screen(io.StringIO):
    """What was written to a terminal, or to something else."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def piece(until: float, length: float | None = 100.0) -> Piece:
    """A piece of the film that ends at so many seconds."""
    return Piece(FILM, (SampledFrame(0, Fraction(until), 64, 48, ()),), NO_CROPS, length)


def prepared(media: Media, failure: Failure | None = None) -> Prepared:
    return Prepared(media, MediaInfo(duration_s=60.0), (), NO_CROPS, failure, 0.0)


def positions(*results: Piece | Prepared) -> list[int]:
    """Where the bar of a film and a photograph stands after each result."""
    done, found = Processed(), []
    with Progress([FILM, PHOTO], wanted=True) as progress:
        progress._bar.disable = False
        for result in results:
            progress.advance(result, done)
            found.append(progress._bar.n)
    return found


def test_a_film_moves_the_bar_as_its_pieces_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Screen(True))
    moved = positions(piece(25), piece(75), prepared(PHOTO), prepared(FILM))
    assert moved == [250, 750, 760, 1010]


def test_pieces_that_come_again_or_cover_nothing_known_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Screen(True))
    again = positions(piece(60), piece(20), piece(90, None), piece(170), prepared(FILM), prepared(PHOTO))
    assert again == [600, 600, 600, 1000, 1000, 1010]


def told(monkeypatch: pytest.MonkeyPatch, terminal: bool, **options: Any) -> str:
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    done = Processed()
    with Progress([FILM, PHOTO], **options) as progress:
        for one in (prepared(FILM), prepared(PHOTO, Failure(Stage.DECODE, Code.INVALID_DATA, "b.jpg: bad"))):
            done.add(one)
            progress.advance(one, done)
    return screen.getvalue()


def test_files_failures_and_media_seconds_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = told(monkeypatch, True, wanted=True)
    assert "2 of 2 files, 0 failed" not in text
    assert "2 of 2 files, 1 failed, 60 s of video" in text


def test_the_end_is_estimated_from_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the bytes in a minute leave another minute, however they came."""
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress([FILM, FILM], wanted=True) as progress:
        progress._bar.start_t -= 60.0
        for until in (10, 30, 100):
            progress.advance(piece(until), Processed())
        progress._bar.refresh()
    assert "<01:0" in screen.getvalue().split("\r")[-2]


@pytest.mark.parametrize(("terminal", "wanted"), [(False, True), (True, False), (False, False)])
def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch, terminal: bool, wanted: bool) -> None:
    assert told(monkeypatch, terminal, wanted=wanted) == ""


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_the_command_shows_a_bar_on_a_terminal_alone(tmp_path: Path, tiny_model: Path) -> None:
    import pty
    import termios

    photos = SAMPLES / "photos"
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    arguments = ["run", photos, "--out", tmp_path / "out", "--model", tiny_model]
    process = subprocess.Popen([COMMAND, *map(str, arguments)], stderr=terminal)
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # So the end of a terminal is told.
        while read := os.read(screen, 65536):
            shown += read
    os.close(screen)
    assert process.wait(timeout=60) == 0
    assert b"4 of 4 files, 0 failed" in shown
    assert b"100%" in shown
    silent = fer_batch(*arguments, "--restart")
    assert silent.returncode == 0
    assert "\r" not in silent.stderr
    assert "4 files: 4 done" in silent.stderr
