"""The contact sheet: the report's moments, a tile each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from fer_batch.analysis.summarize import summarize
from fer_batch.emotions import EMOTIONS
from fer_batch.preview import drawing
from fer_batch.preview.contact_sheet import SHEET_FILE, moments_of
from fer_batch.preview.previews import preview_moments
from fer_batch.tables.commit import commit_part
from fer_batch.tables.schema import to_tables
from tests.helpers.clips import SIZE, make_video, steady


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, scored_file: Callable, shares_of: Callable) -> Path:
    """A run over one video, 90 samples a second apart, in which a face smiles now and then. Parameter: its size."""
    (tmp_path / "media").mkdir()
    there = make_video(tmp_path / "media/smiling.mp4", steady(1, 90), size=getattr(request, "param", SIZE)).stat()
    rng = np.random.default_rng(0)
    happy = np.clip(0.3 + 0.4 * np.sin(np.arange(90) / 15) + rng.normal(0, 0.05, 90), 0, 1)
    frames = [(float(time), [shares_of(happy=p, neutral=1 - p)]) for time, p in enumerate(happy)]
    file = scored_file("smiling.mp4", frames, size_bytes=there.st_size, modified_ns=there.st_mtime_ns)
    out = tmp_path / "results"
    commit_part(out, 1, to_tables([file], EMOTIONS), {}, {"": str(tmp_path / "media")})
    summarize(out, 10.0)
    return out


def test_sheet_has_a_tile_for_each_moment_of_the_report(folder: Path, tmp_path: Path) -> None:
    assert preview_moments(folder, tmp_path / "sheet")
    count = len(moments_of(folder))
    assert count >= 2
    with Image.open(tmp_path / "sheet" / SHEET_FILE) as sheet:
        assert sheet.width == 12 + min(count, 4) * (480 + 12)
        assert sheet.height == 12 + 28 + 20 + 12 + -(-count // 4) * (270 + 60 + 12)  # Below a heading of two lines.


@pytest.mark.parametrize("folder", [(540, 960)], indirect=True)
@pytest.mark.parametrize("blur", [False, True])
def test_labels_of_large_pictures_can_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch, blur: bool) -> None:
    draw_text = Mock(wraps=drawing.draw_text)
    monkeypatch.setattr(drawing, "draw_text", draw_text)
    assert preview_moments(folder, folder.parent / "sheet", blur=blur)
    assert draw_text.called
    for call in draw_text.call_args_list:
        picture, _, _, _, size, _ = call.args
        assert size * 270 / picture.shape[0] >= 14  # Tiles are 270 high.


def test_moment_of_a_changed_source_is_left_out_with_a_warning(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "media/smiling.mp4").write_bytes(b"other")
    assert not preview_moments(folder, tmp_path / "sheet")
    assert "has changed since the run" in caplog.text
    assert not (tmp_path / "sheet" / SHEET_FILE).exists()


def test_run_without_a_clear_moment_has_no_sheet(
    tmp_path: Path, scored_file: Callable, shares_of: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    steady_face = [(float(time), [shares_of(neutral=1.0)]) for time in range(30)]
    commit_part(tmp_path / "out", 1, to_tables([scored_file("a.mp4", steady_face)], EMOTIONS), {}, {"": "/data"})
    summarize(tmp_path / "out", 10.0)
    (tmp_path / "sheet").mkdir()
    (tmp_path / "sheet" / SHEET_FILE).write_bytes(b"of an earlier run")
    assert preview_moments(tmp_path / "out", tmp_path / "sheet")
    assert "no moment to show" in caplog.text
    assert not (tmp_path / "sheet" / SHEET_FILE).exists()
