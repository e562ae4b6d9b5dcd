"""Digests of the files that the tables hold, by which a file is known whose time has changed and whose content has not.

A file beside the tables keeps them. It is a cache, and what is done stands in the media table alone: without it, files
with other times are decoded once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fer_batch.errors import UsageError
from fer_batch.records import Media
from fer_batch.storage import content_digest
from fer_batch.tables.layout import DIGESTS_FILE
from fer_batch.tables.parquet import read_table, write_table

_SCHEMA = pa.schema([("media_path", pa.string()), ("digest", pa.string())])
#: Files that are looked at at the same time.
_READERS = 16


class Digests:
    """What is known of the content of files, by their table paths."""

    def __init__(self, out: Path) -> None:
        """Read those of an output folder; nothing is touched."""
        self._file = out / DIGESTS_FILE
        self._known = _read(self._file)
        self._new: dict[str, str] = {}

    def add(self, files: Iterable[tuple[str, str | None]]) -> None:
        """Note digests by path; None where a file has none."""
        self._new.update((path, digest) for path, digest in files if digest is not None)

    def save(self) -> None:
        """Keep them for the next run."""
        if not self._new:
            return
        new = pa.table([list(self._new), list(self._new.values())], schema=_SCHEMA)
        others = pc.invert(pc.is_in(self._known["media_path"], value_set=new["media_path"].combine_chunks()))
        self._known = pa.concat_tables([self._known.filter(others), new])
        self._new = {}
        write_table(self._file, self._known)

    def get(self, path: str) -> str | None:
        """The digest of a file, None where it is not known."""
        place = pc.index(self._known["media_path"], path).as_py()
        return None if place < 0 else str(self._known["digest"][place])

    def unchanged(self, files: Sequence[Media]) -> list[bool]:
        """Whether each of these files has the content it had."""
        paths = pa.array([file.path for file in files], pa.string())
        indices = pc.index_in(paths, value_set=self._known["media_path"].combine_chunks())
        known = self._known["digest"].take(indices).to_pylist()
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(_has_digest, files, known))


def _has_digest(file: Media, digest: str | None) -> bool:
    try:
        return digest is not None and content_digest(file.file) == digest
    except OSError:  # Reading it as media will say so.
        return False


def _read(file: Path) -> pa.Table:
    try:
        table = read_table(file)
    except (OSError, UsageError):  # None there, or not one of ours.
        return _SCHEMA.empty_table()
    return table if table.schema.equals(_SCHEMA) else _SCHEMA.empty_table()
