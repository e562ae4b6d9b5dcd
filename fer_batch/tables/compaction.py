"""Many small part files into few large ones.

A folder cannot be compacted file by file: whoever lists it in between finds rows twice or not at all. So a whole new
folder is made beside it, and the two change places in one step that the file system offers. Who lists a table finds
the old parts or the new ones, all of them. Who has listed the old ones and opens them too late finds them gone, under
names that are never used again: an error, and never wrong rows. All three tables change at once, so for the ledger too
the folder is always whole. Where there is no such step, as on an object store, the new folder is another one.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from fer_batch import storage
from fer_batch.atomic import write_json
from fer_batch.errors import UsageError
from fer_batch.tables.layout import REPORT_FILE, RUN_FILE, SUMMARY_FILES, SUMMARY_FOLDER, TABLES
from fer_batch.tables.parquet import read_table, write_table
from fer_batch.tables.parts import committed_parts, part_number, part_path, part_paths
from fer_batch.tables.run_file import read_run_file
from fer_batch.tables.schema import ROW_ORDER

#: Rows of faces and frames together, some 300 MB of memory, after which a part is large enough.
ROWS_PER_PART = 1_000_000
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # renameat2(2)


def compact(out: Path, into: Path | None = None, rows_per_part: int = ROWS_PER_PART) -> tuple[int, int]:
    """Merge the part files of a folder that the caller holds, in place or into a folder without tables. Returns how
    many parts each table had and has. The rows stay the same, ordered by path within a part.

    Raises UsageError where there is nothing to merge, or, in place, the file system can't swap two folders.
    """
    before = committed_parts(out)
    if not before:
        raise UsageError(f"{out}: holds no tables of a run; give the --out folder of a run")
    if into is not None:
        if any(part_paths(into, name) for name in TABLES):
            raise UsageError(f"--out {into}: holds tables already; choose another folder")
        return len(before), _write(out, into, 1, rows_per_part)
    if storage.is_url(out):
        raise UsageError(f"{out}: a store can't swap two folders at once; add --out with a new one")
    sibling = out.with_name(f".{out.name}.fer-batch-compact")
    _remove_sibling(sibling, out)
    try:
        _link(out, sibling)
        after = _write(out, sibling, part_number(before[-1]) + 1, rows_per_part)
        _swap(out, sibling)
    finally:
        _remove_sibling(sibling, out)
    return len(before), after


def _write(out: Path, into: Path, first: int, rows_per_part: int) -> int:
    """Write the rows of `out` as larger parts into another folder, and copy what else a run leaves. Returns how many
    parts it made."""
    number = first - 1
    for number, tables in enumerate(_merged(out, rows_per_part), first):
        for name in TABLES:
            write_table(part_path(into, name, number), tables[name])
    last = read_run_file(out)
    for name in (*(f"{SUMMARY_FOLDER}/{file}" for file in SUMMARY_FILES), REPORT_FILE):
        if storage.exists(str(out / name)) and not storage.exists(str(into / name)):
            storage.copy(out / name, into / name)
    if last:  # A run that was complete stays so.
        complete = last.get("last_part") == part_number(committed_parts(out)[-1])
        write_json(into / RUN_FILE, last | ({"last_part": number} if complete else {}))
    return number - first + 1


def _merged(out: Path, rows_per_part: int) -> Iterator[dict[str, pa.Table]]:
    """The tables of several parts that follow each other, as large as asked for. Those with different metadata, such as
    of other inputs, stay apart."""
    group: list[Mapping[str, pa.Table]] = []
    for part in committed_parts(out):
        tables = {name: read_table(part_path(out, name, part_number(part))) for name in TABLES}
        if group and tables["media"].schema.metadata != group[0]["media"].schema.metadata:
            yield _joined(group)
            group = []
        group.append(tables)
        if sum(part["faces"].num_rows + part["frames"].num_rows for part in group) >= rows_per_part:
            yield _joined(group)
            group = []
    if group:
        yield _joined(group)


def _joined(group: list[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    joined = {}
    for name in TABLES:
        table = pa.concat_tables([tables[name] for tables in group]).unify_dictionaries()
        joined[name] = table.sort_by([(key, "ascending") for key in ROW_ORDER[name]])
    return joined


def _link(out: Path, sibling: Path) -> None:
    """Have everything in `out` but its parts and run.json in `sibling` too, as links: other people's files, and the
    lock, which is held by its file and not by its name."""
    ours = {out / RUN_FILE, *(path for name in TABLES for path in part_paths(out, name))}
    for folder, names in _folders(out):
        there = sibling / Path(folder).relative_to(out)
        there.mkdir(parents=True, exist_ok=True)
        for name in names:
            if Path(folder, name) not in ours:
                os.link(Path(folder, name), there / name, follow_symlinks=False)


def _folders(top: Path) -> Iterator[tuple[str, list[str]]]:
    """Every folder below, the deepest first, with what is in it and is no folder; a link to one is none."""
    for folder, folders, names in os.walk(top, topdown=False):
        yield folder, [*names, *(name for name in folders if Path(folder, name).is_symlink())]


def _swap(out: Path, sibling: Path) -> None:
    """Have two folders change places, in one step. Raises UsageError where the system or the file system can't."""
    if sys.platform == "linux":
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        if rename(_AT_FDCWD, os.fsencode(out), _AT_FDCWD, os.fsencode(sibling), _RENAME_EXCHANGE) == 0:
            return
        reason = os.strerror(ctypes.get_errno())
    else:
        reason = "known for Linux only"
    raise UsageError(f"{out}: two folders can't be swapped at once there ({reason}); add --out with a new folder")


def _remove_sibling(sibling: Path, out: Path) -> None:
    """Remove the sibling, which holds the old parts or unfinished new ones. Files of others that came into it
    meanwhile move to `out`."""
    for folder, names in _folders(sibling):
        there = out / Path(folder).relative_to(sibling)
        is_table = Path(folder).parent == sibling
        ours = {path.name for path in part_paths(sibling, Path(folder).name)} if is_table else set()
        for name in names:
            path = Path(folder, name)
            if name not in ours and not os.path.lexists(there / name):
                there.mkdir(parents=True, exist_ok=True)
                path.rename(there / name)
            else:
                path.unlink()
        os.rmdir(folder)
