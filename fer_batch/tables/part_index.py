"""What the ledger needs of the parts of the media table, without opening each of them at every start.

A file beside the tables keeps it. It is a cache: what it says of a part counts only while that part has the
size and the time it had, and the other parts are read. Removing it costs time and no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.errors import UsageError
from fer_batch.stores import Status
from fer_batch.tables.commit import provenance_json
from fer_batch.tables.layout import INDEX_FILE
from fer_batch.tables.parquet import read_many, read_small, read_table, write_table
from fer_batch.tables.parts import committed_numbers, part_path, part_stamps

#: The number of parts outside the index from which on it is written again: reading them takes about a second.
REINDEX_FROM = 1000
_TEXT = pa.dictionary(pa.int32(), pa.string())
#: Of the part: its number, size and time, and its provenance. Of a file: columns of the media table.
_SCHEMA = pa.schema(
    [
        ("part", pa.int64()),
        ("part_bytes", pa.int64()),
        ("part_modified_ns", pa.int64()),
        ("provenance", _TEXT),
        ("media_path", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified", pa.timestamp("us", tz="UTC")),
        ("status", _TEXT),
        ("error_code", _TEXT),
    ]
)
#: What an entry of the ledger has: the part it is in, and columns of the media table.
ENTRIES = pa.schema([field for field in _SCHEMA if field.name not in ("part_bytes", "part_modified_ns", "provenance")])
#: Parts that are read before their rows become one table.
_BATCH = 1024


@dataclass(frozen=True)
class Parts:
    """The parts of an output folder that count. `numbers`: int64, ascending; `rows`: all their files; `provenances`:
    what `provenance_json` gives of them, each once; `read`: how many were opened."""

    numbers: NDArray[np.int64]
    rows: pa.Table
    provenances: list[str]
    read: int


def read_parts(out: Path) -> Parts:
    """The committed parts; nothing is touched."""
    numbers = committed_numbers(out)
    sizes, times = _stamps(out, numbers)
    kept = _read_index(out)
    if kept.num_rows and len(numbers):
        part = kept["part"].to_numpy()
        at = np.minimum(np.searchsorted(numbers, part), len(numbers) - 1)
        same = numbers[at] == part
        same &= sizes[at] == kept["part_bytes"].to_numpy()
        same &= times[at] == kept["part_modified_ns"].to_numpy()
        kept = kept if same.all() else kept.filter(pa.array(same))
    else:
        kept = _SCHEMA.empty_table()
    others = np.flatnonzero(~np.isin(numbers, kept["part"].to_numpy()))
    provenances = set(kept["provenance"].unique().to_pylist())
    tables = [kept]
    for start in range(0, len(others), _BATCH):
        some = others[start : start + _BATCH].tolist()
        table, found = _read(out, [(int(numbers[i]), Status(int(sizes[i]), int(times[i]))) for i in some])
        tables.append(table)
        provenances |= found
    rows = pa.concat_tables(tables).unify_dictionaries()
    return Parts(numbers, rows, sorted(provenances), len(others))


def write_index(out: Path, parts: Parts) -> None:
    """Save what was read for the next start, if much had to be read."""
    if parts.read >= REINDEX_FROM:
        write_table(out / INDEX_FILE, parts.rows.combine_chunks())


def _stamps(out: Path, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Size in bytes and time in nanoseconds of these parts of the media table."""

    found = ((number, status.size_bytes, status.modified_ns) for number, status in part_stamps(out, "media"))
    stamps = np.fromiter(found, np.dtype([("number", np.int64), ("bytes", np.int64), ("ns", np.int64)]))
    stamps = np.sort(stamps[np.isin(stamps["number"], numbers)], order="number")
    return stamps["bytes"], stamps["ns"]


def _read_index(out: Path) -> pa.Table:
    try:
        table = read_table(out / INDEX_FILE)
    except (OSError, UsageError):  # None there, or not one of ours.
        return _SCHEMA.empty_table()
    return table if table.schema.equals(_SCHEMA) else _SCHEMA.empty_table()


def _read(out: Path, parts: Sequence[tuple[int, Status]]) -> tuple[pa.Table, set[str]]:
    """The rows of some parts, and the provenances of all of them, also of those without rows."""
    names = ENTRIES.names[1:]
    tables, provenances = [], set()
    paths = [part_path(out, "media", number) for number, _ in parts]
    for (number, status), media in zip(parts, read_many(paths, lambda path: read_small(path, names)), strict=True):
        text = provenance_json(media.schema.metadata or {})
        provenances.add(text)
        count = media.num_rows
        of_part = [np.full(count, value) for value in (number, status.size_bytes, status.modified_ns)]
        texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))
        columns = [media[name].cast(_SCHEMA.field(name).type) for name in names]
        tables.append(pa.Table.from_arrays([*map(pa.array, of_part), texts, *columns], schema=_SCHEMA))
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks(), provenances
