"""The Parquet files of an output folder: where they are, how they are written and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.files import write_whole
from fer_batch.storage import Status, list_files, list_names, read_whole

Read = TypeVar("Read")

#: The tables with part files. In this order they are renamed into place: a part counts once all of it is there.
TABLES = ("faces", "frames", "media")
SUMMARY_FOLDER = "summary"
#: Files that are read at the same time: a disk, and a store all the more, is waited for more than it is worked for.
_READERS, _AT_ONCE = 16, 1024
#: Rows of a piece of a table: summaries have a hundred columns.
_ROWS_AT_ONCE = 10_000
_PART = re.compile(r"part-\d{6,}\.parquet")


def part_path(out: Path, table: str, number: int) -> Path:
    """Where part `number` of a table is kept."""
    return out / table / _part_name(number)


def _part_name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def part_paths(out: Path, table: str) -> list[Path]:
    """The parts of a table, in the order of their numbers. Other files in its folder are none of ours."""
    return [out / table / name for name in sorted(part_names(out, table))]


def committed_parts(out: Path) -> list[str]:
    """The names of the parts that count, in the order of their numbers."""
    return [_part_name(number) for number in committed_numbers(out).tolist()]


def committed_numbers(out: Path) -> NDArray[np.int64]:
    """The numbers of the parts that count: those that all tables have, ascending. There may be a million."""
    first, *others = (np.unique(part_numbers(out, table)) for table in reversed(TABLES))
    for numbers in others:
        first = np.intersect1d(first, numbers, assume_unique=True)
    return first


def part_numbers(out: Path, table: str) -> NDArray[np.int64]:
    """The numbers of the parts of a table, in any order."""
    return np.fromiter(map(part_number, part_names(out, table)), np.int64)


def part_names(out: Path, table: str) -> Iterator[str]:
    """The names of the parts of a table, in any order."""
    return (name for name in list_names(out / table) if _PART.fullmatch(name))


def part_stamps(out: Path, table: str) -> Iterator[tuple[int, Status]]:
    """The numbers of the parts of a table, in any order, each with the file's size and time."""
    return ((part_number(name), status) for name, status in list_files(out / table) if _PART.fullmatch(name))


def part_number(name: str) -> int:
    """The number in a part's name."""
    return int(name.removeprefix("part-").removesuffix(".parquet"))


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as one zstd Parquet file, whole or not at all."""
    sink = pa.BufferOutputStream()  # Arrow itself can't open names that are no UTF-8.
    pq.write_table(table, sink, compression="zstd")
    write_whole(path, lambda aside: aside.write_bytes(sink.getvalue()))


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet file, all of it or some columns."""
    return pq.read_table(_in_memory(path), columns=None if columns is None else list(columns))


def read_small(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of one Parquet file, in a third of the time that `read_table` takes where there are few rows."""
    return pq.ParquetFile(_in_memory(path)).read(list(columns), use_threads=False)


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Read one Parquet file piece by piece, all columns or those of some that it has."""
    file = pq.ParquetFile(_in_memory(path))
    names = [name for name in file.schema_arrow.names if columns is None or name in columns]
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names):
        yield pa.Table.from_batches([batch])


def read_many(paths: Sequence[Path], read: Callable[[Path], Read]) -> Iterator[Read]:
    """What `read` gives of each file, in their order; several are read at a time, few wait."""
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            yield from pool.map(read, paths[start : start + _AT_ONCE])


def read_schema(path: Path) -> pa.Schema:
    """The Arrow schema of a Parquet file, with its metadata."""
    return pq.read_schema(_in_memory(path))


def _in_memory(path: Path) -> pa.BufferReader:
    """A file's bytes in a buffer of Arrow's own.

    Given a Python file or bytes object, Arrow's threads may still hold it as Python ends, and abort the process
    (seen in 6 of 50 runs; apache/arrow issue 34314 is of the kind).
    """
    content = read_whole(path)
    buffer = pa.allocate_buffer(len(content))
    memoryview(buffer).cast("B")[:] = content
    return pa.BufferReader(buffer)
