"""A full disk, an output folder that vanishes: one clear line, a status, and the same command finishes the job."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clips import SAMPLES, make_video, steady
from tests.test_command_line import COMMAND, fer_batch
from tests.test_end_to_end import rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses limits and signals as Linux has them")


def test_a_disk_that_is_full(tmp_path: Path, tiny_model: Path) -> None:
    """A limit on the size of files stands for the disk: what is written fails half way."""
    arguments = ["run", SAMPLES / "photos", "--out", tmp_path / "out", "--model", tiny_model, "--workers", 1]
    command = [str(COMMAND), *map(str, arguments)]
    full = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert full.returncode == 1
    last = full.stderr.strip().splitlines()[-1]
    assert "File too large: " in last
    assert "part-000001.parquet" in last
    assert "then the same command goes on where it stopped" in last
    assert "Traceback" not in full.stderr
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != ".fer-batch.lock"] == []
    assert fer_batch(*arguments).returncode == 0
    assert len(rows(tmp_path / "out", "media")) == 4


def test_an_output_folder_that_vanishes(tmp_path: Path, tiny_model: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    shutil.copy(SAMPLES / "photos" / "astronaut.jpg", folder)
    make_video(folder / "a.mp4", steady(25, 500), size=(320, 240))
    for name in "bcdef":
        shutil.copy(folder / "a.mp4", folder / f"{name}.mp4")
    arguments = ["run", folder, "--out", out, "--model", tiny_model, "--fps", 25, "--workers", 1]
    process = subprocess.Popen([str(COMMAND), *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("media/*.parquet")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)  # So that nothing is written while it is taken away.
        shutil.rmtree(out)
        process.send_signal(signal.SIGCONT)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "the output folder has gone since the run began" in told.splitlines()[-1]
    assert not os.path.exists(out)
