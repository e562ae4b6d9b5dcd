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

from fer_batch.pipeline.chunks import NO_CROPS
from fer_batch.pipeline.progress import Progress
from fer_batch.pipeline.stats import Processed
from fer_batch.records import Code, Failure, FileResult, FrameChunk, Media, MediaInfo, SampledFrame, Stage
from tests.helpers.clips import SAMPLES
from tests.helpers.command import COMMAND, fer_batch

VIDEO, PHOTO = Media("a.mp4", "a.mp4", "video", 1000, 0), Media("b.jpg", "b.jpg", "image", 10, 0)


class Screen(io.StringIO):
    """What was written to a terminal, or to something else."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def chunk(until: float, length: float | None = 100.0) -> FrameChunk:
    """A chunk of the video that ends at so many seconds."""
    return FrameChunk(VIDEO, (SampledFrame(0, Fraction(until), 64, 48, ()),), NO_CROPS, length)


def result(media: Media, failure: Failure | None = None) -> FileResult:
    return FileResult(media, MediaInfo(duration_s=60.0), failure, 0.0)


def positions(*messages: FrameChunk | FileResult) -> list[int]:
    """Where the bar of a video and a photograph stands after each message."""
    done, found = Processed(), []
    with Progress([VIDEO, PHOTO], enabled=True) as progress:
        progress._bar.disable = False
        for message in messages:
            progress.advance(message, done)
            found.append(progress._bar.n)
    return found


def test_a_video_moves_the_bar_as_its_chunks_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Screen(True))
    moved = positions(chunk(25), chunk(75), result(PHOTO), result(VIDEO))
    assert moved == [250, 750, 760, 1010]


def test_chunks_that_come_again_or_have_no_known_share_do_not_move_the_bar_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Screen(True))
    again = positions(chunk(60), chunk(20), chunk(90, None), chunk(170), result(VIDEO), result(PHOTO))
    assert again == [600, 600, 600, 1000, 1000, 1010]


def printed(monkeypatch: pytest.MonkeyPatch, terminal: bool, **options: Any) -> str:
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    done = Processed()
    with Progress([VIDEO, PHOTO], **options) as progress:
        for file in (result(VIDEO), result(PHOTO, Failure(Stage.DECODE, Code.INVALID_DATA, "b.jpg: bad"))):
            done.add(file)
            progress.advance(file, done)
    return screen.getvalue()


def test_files_failures_and_media_seconds_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, True, enabled=True)
    assert "2 of 2 files, 0 failed" not in text
    assert "2 of 2 files, 1 failed, 60 s of video" in text


def test_the_end_is_estimated_from_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the bytes in a minute leave another minute, however they came."""
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress([VIDEO, VIDEO], enabled=True) as progress:
        progress._bar.start_t -= 60.0
        for until in (10, 30, 100):
            progress.advance(chunk(until), Processed())
        progress._bar.refresh()
    assert "<01:0" in screen.getvalue().split("\r")[-2]


@pytest.mark.parametrize(("terminal", "enabled"), [(False, True), (True, False), (False, False)])
def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch, terminal: bool, enabled: bool) -> None:
    assert printed(monkeypatch, terminal, enabled=enabled) == ""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_the_command_shows_a_bar_on_a_terminal_alone(tmp_path: Path, tiny_onnx_model: Path) -> None:
    import pty
    import termios

    photos = SAMPLES / "photos"
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    arguments = ["run", photos, "--out", tmp_path / "out", "--restart", "--workers", 1, "--model", tiny_onnx_model]
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
    silent = fer_batch(*arguments)
    assert silent.returncode == 0
    assert "\r" not in silent.stderr
    assert "4 files: 4 done" in silent.stderr
