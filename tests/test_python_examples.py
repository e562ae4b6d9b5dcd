"""The examples of docs/guide/python.md, run one after another as a reader would."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
GUIDE = REPOSITORY / "docs" / "guide" / "python.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the examples read."""
    shutil.copytree(REPOSITORY / "sample_study", tmp_path / "sample_study")
    (tmp_path / "footage").mkdir()
    shutil.copy(REPOSITORY / "sample_media" / "photos" / "two_people.png", tmp_path / "footage")
    shutil.copy(REPOSITORY / "sample_media" / "clips" / "phone.mp4", tmp_path / "footage")
    shutil.copy(REPOSITORY / "sample_media" / "photos" / "astronaut.jpg", tmp_path / "portrait.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_the_guide_work(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    printed = capsys.readouterr().out
    assert "--fps 0: must be above 0" in printed
    assert "notes.txt: " in printed
    assert "phone.mp4" in printed
