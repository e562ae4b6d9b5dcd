"""Files are there complete or not at all."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from pathlib import Path

import av
import pytest

from fer_batch.atomic import _report_no_flush, remove_temporary_files, write_atomic, write_json


def test_writes_into_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "part-1.parquet"
    write_atomic(path, lambda temporary: temporary.write_text("all"))
    assert path.read_text() == "all"
    assert os.listdir(path.parent) == ["part-1.parquet"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_writer_that_raises_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise error

    with pytest.raises(error):
        write_atomic(tmp_path / "part-1.parquet", write)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '.*part-1\.parquet'"):
        write_atomic(tmp_path / "part-1.parquet", lambda temporary: Path("/dev/full").write_bytes(b"all"))


def test_an_error_of_ffmpeg_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    def write(_: Path) -> None:
        raise av.error.OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*clip\.mp4'") as raised:
        write_atomic(tmp_path / "clip.mp4", write)
    assert raised.value.errno == errno.ENOSPC


def test_a_writer_that_raises_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "part-1.parquet"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_atomic(path, lambda temporary: temporary.write_text(str(1 // 0)))
    assert path.read_text() == "before"
    write_atomic(path, lambda temporary: temporary.write_text("after"))
    assert path.read_text() == "after"


def test_a_rename_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "part-1.parquet").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(tmp_path / "part-1.parquet", lambda temporary: temporary.write_text("all"))
    assert os.listdir(tmp_path) == ["part-1.parquet"]


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        temporary.write_text("half")
        assert temporary.parent == tmp_path  # A rename within one directory never copies.
        assert temporary.name.startswith(".")
        assert temporary.suffix != ".parquet"
        assert list(tmp_path.glob("*.parquet")) == []

    write_atomic(tmp_path / "part-1.parquet", write)
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_bytes_reach_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (steps.append("fsync"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda old, new: (steps.append("rename"), rename(old, new)))
    write_atomic(tmp_path / "a", lambda temporary: temporary.write_text("all"))
    assert steps[:2] == ["fsync", "rename"]


@pytest.mark.skipif(os.name != "posix", reason="directories are flushed on POSIX systems alone")
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENOTSUP])
def test_a_folder_that_can_not_be_flushed_is_reported_once_and_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """As on SMB and on Windows drives under WSL."""
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    _report_no_flush.cache_clear()
    with caplog.at_level(logging.DEBUG, "fer_batch"):
        for name in ("a", "folder/b"):
            write_atomic(tmp_path / name, lambda temporary: temporary.write_text("all"))
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"]
    (record,) = caplog.records
    assert (record.levelno, "can't be flushed" in record.getMessage()) == (logging.DEBUG, True)


def test_a_file_that_can_not_be_flushed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=r"bad disk: '.*part-1\.parquet'"):
        write_atomic(tmp_path / "part-1.parquet", lambda temporary: temporary.write_text("all"))
    assert os.listdir(tmp_path) == []


def test_temporary_files_are_removed_and_nothing_else(tmp_path: Path) -> None:
    names: list[str] = []
    write_atomic(tmp_path / "part-1.parquet", lambda temporary: (names.append(temporary.name), temporary.touch()))
    for name in (names[0], ".hidden", "notes.partial"):  # The first is what a power cut would leave.
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "notes.partial", "part-1.parquet"]


def test_no_directory_no_temporary_files(tmp_path: Path) -> None:
    remove_temporary_files(tmp_path / "gone")
    assert os.listdir(tmp_path) == []


def test_json(tmp_path: Path) -> None:
    values = {"name": "Café", "list": [1, None, 2.5]}
    write_json(tmp_path / "run.json", values)
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert json.loads(text) == values
    assert "Café" in text
    assert os.listdir(tmp_path) == ["run.json"]


def test_json_that_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "run.json", {"path": tmp_path})
    assert os.listdir(tmp_path) == []
