"""What ends a run before its time: signals, kill -9, another run. Nothing stays behind and nothing is in the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.clips import SAMPLES, make_video, steady
from tests.helpers.command import COMMAND, fer_batch
from tests.helpers.processes import alive, children, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


@pytest.fixture
def long_run(tmp_path: Path, tiny_onnx_model: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of more than a minute, with two workers at work."""
    folder = tmp_path / "in"
    folder.mkdir()
    make_video(folder / "a.mp4", steady(25, 250), size=(640, 480))
    for name in "bcdefghijklmnopqrst":
        shutil.copy(folder / "a.mp4", folder / f"{name}.mp4")
    arguments = ["run", folder, "--out", tmp_path / "out", "--model", tiny_onnx_model, "--fps", 25, "--workers", 2]
    process = subprocess.Popen(
        [str(COMMAND), *map(str, arguments)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(lambda: len(children(process.pid)) >= 2)
    with process:
        yield process
        process.kill()


def test_no_worker_outlives_a_killed_main_process(long_run: subprocess.Popen[str]) -> None:
    time.sleep(2.0)  # The workers have started and are decoding.
    workers = children(long_run.pid)
    assert len(workers) >= 2
    os.kill(long_run.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(alive, workers)), 10.0)


@pytest.mark.slow
def test_a_second_run_on_the_same_folder_is_refused(long_run: subprocess.Popen[str], tmp_path: Path) -> None:
    wait_for((tmp_path / "out" / ".fer-batch.lock").is_file)
    done = fer_batch("run", SAMPLES / "photos", "--out", tmp_path / "out", "--restart")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert f"another process is writing there (process {long_run.pid})" in done.stderr
    os.killpg(long_run.pid, signal.SIGKILL)
    long_run.wait()
    assert fer_batch("run", SAMPLES / "photos", "--out", tmp_path / "out", "--restart").returncode == 0


@pytest.mark.slow
def test_a_killed_run_leaves_word_of_it(long_run: subprocess.Popen[str], tmp_path: Path, tiny_onnx_model: Path) -> None:
    out = tmp_path / "out"
    wait_for(lambda: list(out.glob("media/*.parquet")), 120.0)
    os.killpg(long_run.pid, signal.SIGKILL)
    long_run.wait()
    left = json.loads((out / "run.json").read_text())
    assert (left["status"], left["ended"], left["counts"]["outstanding"]) == ("running", None, 20)
    summarized = fer_batch("summarize", out)
    assert (summarized.returncode, len(summarized.stderr.splitlines())) == (0, 1)
    assert "the run there was killed" in summarized.stderr
    for name in "cdefghijklmnopqrst":  # The rest would take minutes.
        (tmp_path / "in" / f"{name}.mp4").unlink()
    arguments = ["run", tmp_path / "in", "--out", out, "--model", tiny_onnx_model, "--fps", 25, "--workers", 2]
    done = fer_batch(*arguments)
    assert done.returncode == 0
    assert re.search(f"the run begun at {re.escape(left['started'])} was killed; going on after the [1-9]", done.stderr)
    assert json.loads((out / "run.json").read_text())["status"] == "done"
    assert "was killed" not in fer_batch(*arguments).stderr


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_within_seconds(
    long_run: subprocess.Popen[str], tmp_path: Path, sent: signal.Signals
) -> None:
    time.sleep(2.0)
    workers = children(long_run.pid)
    long_run.send_signal(sent)
    _, stderr = long_run.communicate(timeout=20)
    assert long_run.returncode == 130
    assert "resumes where it stopped" in stderr
    wait_for(lambda: not any(map(alive, workers)), 5.0)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "interrupted"


def test_a_second_signal_ends_at_once() -> None:
    code = (
        "import time; from fer_batch.cli.exit_status import endings\n"
        "with endings():\n"
        "    try: print('at work', flush=True); time.sleep(60)\n"
        "    finally: print('ending', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in ("at work\n", "ending\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == -signal.SIGINT  # To a shell that is 130.
    process.communicate()


def test_what_is_ignored_stays_ignored() -> None:
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"  # As nohup does.
        "from fer_batch.cli.exit_status import endings\n"
        "with endings(): signal.raise_signal(signal.SIGHUP); print('goes on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "goes on\n")
