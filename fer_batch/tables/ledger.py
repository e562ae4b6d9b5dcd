"""What is done and what failed, read from the media table itself: there is no second record to disagree with it.

A file is known by its path and size and by its modification time, or, where that has changed, by a digest of its
content; the folder by its configuration's fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fer_batch.atomic import remove_temporary_files
from fer_batch.config import differences
from fer_batch.errors import UsageError
from fer_batch.records import Code, Media
from fer_batch.share_correction import ShareCorrection
from fer_batch.storage import remove_folder_if_empty
from fer_batch.tables.commit import commit_part
from fer_batch.tables.digests import Digests
from fer_batch.tables.layout import DIGESTS_FILE, INDEX_FILE, RUN_FILE, SUMMARY_FILES, SUMMARY_FOLDER, TABLES
from fer_batch.tables.lock import FolderLock
from fer_batch.tables.parquet import read_table, write_table
from fer_batch.tables.part_index import ENTRIES, Parts, read_parts, write_index
from fer_batch.tables.parts import part_numbers, part_path, part_paths
from fer_batch.tables.schema import modified_us


class Ledger:
    """The committed files of an output folder, as columns: there may be millions."""

    def __init__(self, out: Path, lock: FolderLock | None = None) -> None:
        """Read the media table's parts; nothing is touched before `clean_up`. `lock`: the folder's; asked before
        each commit whether it still holds."""
        self.out, self._lock = out, lock
        self._parts: Parts | None = read_parts(out)
        #: A row per committed file, see `ENTRIES`.
        self.entries = self._parts.rows.select(ENTRIES.names)
        #: The highest part number there is, 0 where there is none.
        self.last_part = int(max(self._parts.numbers, default=0))
        #: What tells files with other times from changed ones.
        self.digests = Digests(out)

    def check(self, result_settings: dict[str, Any], inputs: Mapping[str, str]) -> None:
        """Check that rows of a run may join those that are there.

        Args:
            result_settings: The configuration that decides the rows.
            inputs: The inputs by the prefix that their paths have in the tables.

        Raises:
            UsageError: The folder was written with other settings, or a file would have two names in the tables, or
                two files one name; the message names the difference.
        """
        assert self._parts is not None
        new = json.loads(json.dumps(result_settings))
        for old, old_inputs in map(json.loads, self._parts.provenances):
            versions = old.get("schema_version"), new.get("schema_version")
            if old and versions[0] != versions[1]:
                raise UsageError(
                    f"{self.out} holds tables of schema version {versions[0]}, and this version of fer-batch writes "
                    f"version {versions[1]}; use another --out, or --restart to start over "
                    "(they can still be summarized, reported and queried)"
                )
            changed = differences(old, new) if old else []
            changed += [
                f"input {prefix}: {old_inputs[prefix]} -> {path}"
                for prefix, path in inputs.items()
                if old_inputs.get(prefix, path) != path
            ]
            changed += [
                f"{path}: named {old_prefix or '.'} -> {prefix or '.'} in the tables"
                for prefix, path in inputs.items()
                for old_prefix, old_path in old_inputs.items()
                if old_path == path and old_prefix != prefix
            ]
            if changed:
                raise UsageError(
                    f"{self.out} was written with other settings ({'; '.join(changed)}); "
                    "use another --out, or --restart to start over"
                )

    def clean_up(self) -> None:
        """Remove what an interrupted run left uncommitted, and save the index for the next start."""
        assert self._parts is not None
        for name in (*TABLES, SUMMARY_FOLDER, "."):
            remove_temporary_files(self.out / name)
        for table in TABLES:
            for number in np.setdiff1d(part_numbers(self.out, table), self._parts.numbers).tolist():
                part_path(self.out, table, number).unlink()
        write_index(self.out, self._parts)
        self._parts = None

    def save_digests(self) -> None:
        """Keep the files' digests for the next run, if the folder is still there."""
        if self._lock is not None:
            self._lock.check()
        self.digests.save()

    def commit(
        self,
        tables: Mapping[str, pa.Table],
        result_settings: dict[str, Any],
        inputs: Mapping[str, str],
        correction: ShareCorrection | None = None,
    ) -> None:
        """Write the rows of some files as the next part of every table, in place of rows they had before.
        `result_settings`, `inputs` and `correction`: see `Provenance`."""
        if self._lock is not None:
            self._lock.check()
        _assert_sums(tables)
        media = tables["media"]
        self._remove_rows(media["media_path"])
        number = self.last_part + 1
        commit_part(self.out, number, tables, result_settings, inputs, correction)
        part = pa.array(np.full(media.num_rows, number))
        columns = [media[field.name].cast(field.type) for field in ENTRIES if field.name != "part"]
        self.entries = pa.concat_tables([self.entries, pa.table([part, *columns], schema=ENTRIES)])
        self.last_part = number

    def outstanding(self, found: Sequence[Media], retry_failed: bool) -> list[Media]:
        """The files that have not been done, have changed since, or, on request, have failed."""
        paths = pa.array((file.path for file in found), pa.string())
        at = pc.index_in(paths, value_set=_contiguous(self.entries["media_path"]))
        entries = self.entries.select(["size_bytes", "modified", "status", "error_code"]).take(at)
        sizes = pa.array((file.size_bytes for file in found), pa.int64())
        times = pa.array(modified_us([file.modified_ns for file in found]))
        same_size = pc.equal(entries["size_bytes"], sizes)
        same = pc.and_(same_size, pc.equal(entries["modified"].cast(pa.int64()), times))
        same = pc.or_(same, self._same_content(found, pc.and_not(same_size, same)))
        # Such as in a folder that was not mounted for a while.
        settled = pc.and_not(same, pc.equal(entries["error_code"].cast(pa.string()).fill_null(""), Code.CHANGED))
        if retry_failed:
            settled = pc.and_not(settled, pc.equal(entries["status"].cast(pa.string()), "failed"))
        return [found[index] for index in np.flatnonzero(~settled.fill_null(False).to_numpy()).tolist()]

    def _same_content(self, found: Sequence[Media], other_time: pa.ChunkedArray) -> pa.Array:
        """Whether the files that `other_time` chooses have the content they had: copies lose their times, and file
        systems without time zones shift them."""
        same = np.zeros(len(found), bool)
        rows = np.flatnonzero(other_time.fill_null(False).to_numpy())
        same[rows] = self.digests.unchanged([found[row] for row in rows.tolist()])
        return pa.array(same)

    def _remove_rows(self, media_paths: pa.ChunkedArray) -> None:
        """Remove the rows of some files from all tables, because new ones are ready.

        The media rows of a part go last, or first where none is left: interrupted in between, either the same files are
        outstanding again, or the part no longer counts.
        """
        paths = _contiguous(media_paths)
        old = pc.is_in(self.entries["media_path"], value_set=paths)
        for number in sorted(self.entries["part"].filter(old).unique().to_pylist()):
            kept = {}
            for name in TABLES:
                table = read_table(part_path(self.out, name, number))
                kept[name] = table.filter(pc.invert(pc.is_in(table["media_path"], value_set=paths)))
            if kept["media"].num_rows:
                for name in TABLES:
                    write_table(part_path(self.out, name, number), kept[name])
            else:
                for name in reversed(TABLES):
                    part_path(self.out, name, number).unlink()
        if pc.any(old).as_py():
            self.entries = self.entries.filter(pc.invert(old))


def _contiguous(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _assert_sums(tables: Mapping[str, pa.Table]) -> None:
    """Raise AssertionError unless the media table counts the rows of the other two."""
    for column, name in (("frames_sampled", "frames"), ("faces_found", "faces")):
        counted = pc.sum(tables["media"][column]).as_py() or 0
        if counted != tables[name].num_rows:
            raise AssertionError(f"{counted} {name} counted, {tables[name].num_rows} rows made")


def clear_folder(out: Path) -> None:
    """Remove what runs leave in a folder, by the names they use, and nothing else that may be there.

    The media table goes first, so that an interruption leaves nothing that counts.
    """
    for name in (*reversed(TABLES), SUMMARY_FOLDER):
        directory = out / name
        for path in [*part_paths(out, name), *(directory / file for file in SUMMARY_FILES)]:
            path.unlink(missing_ok=True)
        remove_temporary_files(directory)
        remove_folder_if_empty(directory)
    for name in (INDEX_FILE, DIGESTS_FILE, RUN_FILE, "report.html"):
        (out / name).unlink(missing_ok=True)
