"""Atomic writes: a file is there complete or not at all."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fer_batch import storage

log = logging.getLogger(__name__)

#: What the names of temporary files end in.
_SUFFIX = ".fer-batch-partial"
#: What file systems answer that can't flush a directory, such as SMB, and Windows drives under WSL.
_CANNOT_FLUSH = (errno.EINVAL, errno.EIO, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to be filled in the block: after it, it is flushed to disk and renamed to `path`.

    Its name is hidden and does not end in the suffix of `path`, so no reader's glob finds it. On an object store, which
    has no renaming, the content is put there in one request.
    """
    if storage.is_url(path):
        with TemporaryDirectory() as folder:
            temporary = Path(folder) / path.name
            yield temporary
            storage.put(path, temporary.read_bytes())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{_SUFFIX}")
    try:
        with naming_errors(path):
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # What went wrong first has to be reported.
            temporary.unlink(missing_ok=True)
        raise
    _flush_directory(path.parent)


@contextmanager
def naming_errors(path: Path) -> Iterator[None]:
    """Have errors of the system in the block name this file: a full disk does not say which one it had no room for.
    Errors without a number have a text of their own."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        try:
            error.filename = str(path)
        except AttributeError:  # That of PyAV's errors can't be set.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a temporary file that then gets the name `path`; see `atomic_file`."""
    with atomic_file(path) as temporary:
        write(temporary)


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, atomically. Undecodable bytes of file names become JSON escapes."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, lambda temporary: temporary.write_bytes(text.encode("utf-8", "backslashreplace")))


def remove_temporary_files(directory: Path) -> None:
    """Remove the temporary files that interrupted writes left in a directory."""
    for name in storage.list_names(directory):
        if name.startswith(".") and name.endswith(_SUFFIX):
            (directory / name).unlink(missing_ok=True)


def _flush_directory(directory: Path) -> None:
    """Make a rename survive a power cut, where the system and the file system can."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
        _report_no_flush(error.strerror)


@cache
def _report_no_flush(reason: str) -> None:
    """Once: every commit would say it again."""
    log.debug("the output folder's directories can't be flushed (%s); a power cut may undo the last renames", reason)
