"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fer_batch import storage

_ASIDE = ".fer-batch-partial"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path` to be filled in the block: after it, it is flushed to disk and renamed into place.

    The name it has meanwhile is hidden and does not end in the suffix of `path`, so no reader's glob sees it. On an
    object store, which has no renaming, the whole is put there at once.
    """
    if not isinstance(path, Path):
        with TemporaryDirectory() as place:
            whole = Path(place) / path.name
            yield whole
            storage.put(path, whole.read_bytes())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}{_ASIDE}")
    try:
        with writing(path):
            yield aside
            with aside.open("rb+") as stream:
                os.fsync(stream.fileno())
            os.replace(aside, path)
    except BaseException:
        with suppress(OSError):  # What went wrong first is what has to be told.
            aside.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the system in the block are this file's: a full disk does not say which one it had no room for. Errors
    without a number have a text of their own."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a file that is there once it has, whole or not at all; see `whole_file`."""
    with whole_file(path) as aside:
        write(aside)


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, whole or not at all. Undecodable bytes of file names become JSON escapes."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda aside: aside.write_bytes(text.encode("utf-8", "backslashreplace")))


def remove_partial(directory: Path) -> None:
    """Remove what an interrupted `write_whole` left in a directory."""
    for name in storage.list_names(directory):
        if name.startswith(".") and name.endswith(_ASIDE):
            (directory / name).unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """Make a rename survive a power cut, where the system lets directories be opened."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
