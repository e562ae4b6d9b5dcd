"""The code of docs/guide/dashboards.md, block by block, as it stands there."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "guide" / "dashboards.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `results` is a run's, and in which the page's commands have been typed."""
    here = tmp_path_factory.mktemp("here")
    shutil.copytree(run_folder, here / "results")
    for kind, code in BLOCKS:
        if kind == "sh":
            command = code.replace("fer-batch", f"'{sys.executable}' -m fer_batch")
            subprocess.run(command, shell=True, cwd=here, check=True, timeout=120)
    return here


def test_there_are_blocks_for_every_reader() -> None:
    imported = {name for kind, code in BLOCKS if kind == "python" for name in _imports(code)}
    assert imported == {"duckdb", "pandas", "polars", "ray", "pyspark"}
    assert {kind for kind, _ in BLOCKS} == {"python", "sh"}


def _imports(code: str) -> list[str]:
    return re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)


PYTHON = [code for kind, code in BLOCKS if kind == "python"]


def _slow(code: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if "ray" in _imports(code) else []  # It starts a cluster.


@pytest.mark.parametrize("code", [pytest.param(code, marks=_slow(code), id=_imports(code)[0]) for code in PYTHON])
def test_a_block_runs_as_written(place: Path, code: str) -> None:
    for name in _imports(code):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    if "pyspark" in code and shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\ba(/smiling|\s)", done.stdout)  # The video, or its folder.
