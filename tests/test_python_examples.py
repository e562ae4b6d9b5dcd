"""The examples of docs/guide/python.md and of the notebook, run one after another as a reader would."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
GUIDE = REPOSITORY / "docs" / "guide" / "python.md"
NOTEBOOK = REPOSITORY / "examples" / "study.ipynb"


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


@pytest.mark.slow
def test_the_notebook_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("altair", reason="the extra dashboard is not installed")
    monkeypatch.chdir(folder / "examples")
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)
    assert isinstance(names["joke"], pd.DataFrame)
    assert len(names["joke"]) >= 1
    assert json.loads(names["lines"].to_json())["mark"]["type"] == "line"
