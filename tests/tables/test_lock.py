"""One run at a time in a folder; what a dead one leaves is not in the way."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fer_batch.errors import UsageError
from fer_batch.tables.layout import LOCK_FILE
from fer_batch.tables.lock import SystemLock

HOLD = (
    "import sys, time; from pathlib import Path; from fer_batch.tables.lock import SystemLock\n"
    "with SystemLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_is_refused_by_name_until_the_first_is_dead(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    process = holder(tmp_path)
    try:
        with (
            pytest.raises(UsageError, match=rf"another process is writing there \(process {process.pid}\)"),
            SystemLock(tmp_path),
        ):
            pass
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / LOCK_FILE).read_text() == str(process.pid)  # Nobody tidied up, and it does not matter.
    with SystemLock(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == str(os.getpid())
    assert (tmp_path / LOCK_FILE).read_text() == ""


def test_a_folder_nothing_came_of_is_taken_away_again(tmp_path: Path) -> None:
    with SystemLock(tmp_path / "out"):
        assert os.listdir(tmp_path / "out") == [LOCK_FILE]
    assert os.listdir(tmp_path) == []


def test_a_folder_that_has_gone_is_noticed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with SystemLock(out) as lock:
        lock.check()
        shutil.rmtree(out)
        out.mkdir()  # As the empty mount point of a disk that was unplugged.
        with pytest.raises(FileNotFoundError, match="has gone since the run began"):
            lock.check()
    assert os.listdir(out) == []


@pytest.mark.skipif(os.name != "posix", reason="flock is of these systems")
def test_a_disk_without_locks_is_used_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    warnings: list[str] = []
    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr("fer_batch.tables.lock.log.warning", lambda message, *values: warnings.append(message % values))
    with SystemLock(tmp_path) as lock:
        lock.check()
    assert warnings == [f"{tmp_path} can't be locked (No locks available); see that no other run uses it"]


def test_a_stopped_holder_still_holds(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(UsageError), SystemLock(tmp_path):
            pass
    finally:
        process.kill()
        process.communicate()
