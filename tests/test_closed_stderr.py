"""A run goes on where nobody reads its messages any more: its log file and run.json tell what it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.clips import SAMPLES
from tests.helpers.command import COMMAND

pytestmark = pytest.mark.skipif(os.name != "posix", reason="closes file descriptors as POSIX systems do")


def close_stderr() -> None:
    os.close(2)


def ignore_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def reader_gone() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def terminal_gone() -> int:
    screen, terminal = os.openpty()
    os.close(screen)
    return terminal


@pytest.mark.parametrize(
    ("open_stderr", "before"),
    [(lambda: os.open(os.devnull, os.O_WRONLY), close_stderr), (reader_gone, None), (terminal_gone, ignore_hangup)],
    ids=["closed", "reader gone", "terminal gone"],
)
def test_a_run_without_stderr_ends_as_ever(
    tmp_path: Path, open_stderr: Callable[[], int], before: Callable[[], None] | None
) -> None:
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    arguments = [SAMPLES / "photos" / "astronaut.jpg", "--out", out, "--log-file", log, "--workers", 1]
    stderr = open_stderr()
    done = subprocess.run([COMMAND, "run", *map(str, arguments)], stderr=stderr, preexec_fn=before, timeout=300)
    os.close(stderr)
    assert done.returncode == 0
    assert json.loads((out / "run.json").read_text())["counts"]["done"] == 1
    messages = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert f"tables in {out}" in messages
    assert not any("Traceback" in message for message in messages)


def test_files_that_are_opened_after_stderr_was_closed_get_no_messages(tmp_path: Path) -> None:
    code = (
        "import os, sys; from fer_batch.log import survive_closed_stderr\n"
        "survive_closed_stderr(); open(sys.argv[1], 'wb'); kept = open(sys.argv[1], 'wb')\n"
        "print('a message', file=sys.stderr, flush=True); os.write(2, b'a native message')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "kept")], preexec_fn=close_stderr, timeout=60)
    assert done.returncode == 0
    assert (tmp_path / "kept").read_bytes() == b""
