"""What is done and what failed, read from the media table itself: there is no second book to disagree with it.

A file is known by its path, size and modification time; the folder by its configuration's fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fer_batch.config import UsageError, differences
from fer_batch.files import remove_partial
from fer_batch.lock import FolderLock, StoreLock
from fer_batch.records import Code, Media
from fer_batch.runfile import RUN_FILE
from fer_batch.schema import modified_us
from fer_batch.shares import ShareCorrection
from fer_batch.stages.summarize import SUMMARY_FILES
from fer_batch.stages.write import commit_part, read_origins
from fer_batch.storage import remove_folder_if_empty
from fer_batch.tables import (
    SUMMARY_FOLDER,
    TABLES,
    committed_parts,
    part_number,
    part_path,
    part_paths,
    read_many,
    read_table,
    write_table,
)

_COLUMNS = ["media_path", "size_bytes", "modified", "status", "error_code"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed file: the part it is in, what it was when it was read, and what went wrong with it, if anything.

    There may be millions. `modified_us`: microseconds since the epoch, as the media table has it.
    """

    part: int
    size_bytes: int
    modified_us: int
    failed: bool
    code: str | None


class Ledger:
    """The committed files of an output folder."""

    def __init__(self, out: Path, lock: FolderLock | StoreLock | None = None) -> None:
        """Read the media table's parts; clears away what an interrupted run left uncommitted. `lock`: what holds the
        folder, asked before each commit whether the folder is still there."""
        self.out, self._lock = out, lock
        self.entries: dict[str, Entry] = {}
        #: The highest part number there is, 0 where there is none.
        self.last_part = 0
        numbers = _clean(out)
        paths = [part_path(out, "media", number) for number in numbers]
        for number, media in zip(numbers, read_many(paths, lambda path: read_table(path, _COLUMNS)), strict=True):
            self._enter(number, media)

    def _enter(self, number: int, media: pa.Table) -> None:
        self.last_part = number
        columns = media.select(_COLUMNS).set_column(2, "modified", media["modified"].cast(pa.int64()))
        rows = zip(*(column.to_pylist() for column in columns.columns), strict=True)
        for path, size_bytes, modified, status, code in rows:
            self.entries[path] = Entry(number, size_bytes, modified, status == "failed", code and intern(code))

    def commit(
        self,
        tables: Mapping[str, pa.Table],
        results: dict[str, Any],
        roots: Mapping[str, str],
        correction: ShareCorrection | None = None,
    ) -> None:
        """Write the rows of some files as the next part of every table, in place of rows they had before. `results`,
        `roots` and `correction`: see `commit_part`."""
        if self._lock is not None:
            self._lock.check()
        _assert_sums(tables)
        self._forget(tables["media"]["media_path"].to_pylist())
        number = self.last_part + 1
        commit_part(self.out, number, tables, results, roots, correction)
        self._enter(number, tables["media"])

    def outstanding(self, found: Iterable[Media], retry_failed: bool) -> list[Media]:
        """The files that have not been done, have changed since, or, on request, have failed."""
        return [media for media in found if not self._settled(media, retry_failed)]

    def _settled(self, media: Media, retry_failed: bool) -> bool:
        entry = self.entries.get(media.path)
        if entry is None or (entry.failed and retry_failed):
            return False
        if entry.code == Code.CHANGED:  # A folder that had gone and is back: that was not the file's fault.
            return False
        return (entry.size_bytes, entry.modified_us) == (media.size_bytes, modified_us(media.modified_ns))

    def _forget(self, paths: Sequence[str]) -> None:
        """Take the rows of some files out of all tables, because new ones are ready.

        The media rows of a part go last, or first where none is left: interrupted in between, either the same files are
        found outstanding and forgotten again, or the part no longer counts.
        """
        parts = {self.entries[path].part for path in paths if path in self.entries}
        gone = pa.array(paths, pa.string())
        for number in sorted(parts):
            kept = {}
            for name in TABLES:
                table = read_table(part_path(self.out, name, number))
                kept[name] = table.filter(pc.invert(pc.is_in(table["media_path"], value_set=gone)))
            if kept["media"].num_rows:
                for name in TABLES:
                    write_table(part_path(self.out, name, number), kept[name])
            else:
                for name in reversed(TABLES):
                    part_path(self.out, name, number).unlink()


def _assert_sums(tables: Mapping[str, pa.Table]) -> None:
    """Raise AssertionError unless the media table counts the rows of the other two."""
    for column, name in (("frames_sampled", "frames"), ("faces_found", "faces")):
        counted = pc.sum(tables["media"][column]).as_py() or 0
        if counted != tables[name].num_rows:
            raise AssertionError(f"{counted} {name} counted, {tables[name].num_rows} rows made")


def _clean(out: Path) -> list[int]:
    """The numbers of the committed parts, ascending, once everything uncommitted is removed."""
    for name in (*TABLES, SUMMARY_FOLDER, "."):
        remove_partial(out / name)
    committed = committed_parts(out)
    for name in TABLES:
        for path in part_paths(out, name):
            if path.name not in committed:
                path.unlink()
    return [part_number(name) for name in committed]


def check_folder(out: Path, results: dict[str, Any], roots: Mapping[str, str]) -> None:
    """Raise UsageError, naming the difference, if the folder was written under another configuration, or if one file
    would get two names in the tables or two files one."""
    new = json.loads(json.dumps(results))
    for old, old_roots in read_origins(part_paths(out, "media")):
        changed = differences(old, new) if old else []
        changed += [
            f"input {lead}: {old_roots[lead]} -> {given}"
            for lead, given in roots.items()
            if old_roots.get(lead, given) != given
        ]
        changed += [
            f"{given}: named {before or '.'} -> {lead or '.'} in the tables"
            for lead, given in roots.items()
            for before, there in old_roots.items()
            if there == given and before != lead
        ]
        if changed:
            told = "; ".join(changed)
            raise UsageError(f"{out} was made otherwise ({told}); use another --out, or --restart to start over")


def clear_folder(out: Path) -> None:
    """Remove what runs leave in a folder, by the names they use, and nothing else that may be there.

    The media table goes first, so that an interruption leaves nothing that counts.
    """
    for name in (*reversed(TABLES), SUMMARY_FOLDER):
        directory = out / name
        for path in [*part_paths(out, name), *(directory / file for file in SUMMARY_FILES)]:
            path.unlink(missing_ok=True)
        remove_partial(directory)
        remove_folder_if_empty(directory)
    for name in (RUN_FILE, "report.html"):
        (out / name).unlink(missing_ok=True)
