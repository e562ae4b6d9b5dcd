"""How Parquet files are written and read, here and on object stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from fer_batch.atomic import write_atomic
from fer_batch.errors import UsageError
from fer_batch.log import one_line
from fer_batch.storage import read_whole

Read = TypeVar("Read")

#: Files that are read at the same time, for reading is mostly waiting, and files whose results may wait.
_READERS, _AT_ONCE = 16, 1024

#: Rows of a batch: summaries have a hundred columns.
_ROWS_AT_ONCE = 10_000


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as one zstd Parquet file, atomically."""
    sink = pa.BufferOutputStream()  # Arrow itself can't open names that are no UTF-8.
    pq.write_table(table, sink, compression="zstd")
    write_atomic(path, lambda temporary: temporary.write_bytes(sink.getvalue()))


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet file, all of it or some columns. Raises, like all of these, UsageError for a damaged file."""
    with _naming_damage(path):
        return pq.read_table(_in_memory(path), columns=None if columns is None else list(columns))


def read_rows(path: Path, column: str, value: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of the rows of one Parquet file that have `value` in `column`; row groups without any are not
    decoded."""
    with _naming_damage(path):
        return pq.read_table(_in_memory(path), columns=list(columns), filters=[(column, "==", value)])


def read_small(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of one Parquet file, in a third of the time that `read_table` takes where there are few rows."""
    with _naming_damage(path):
        return pq.ParquetFile(_in_memory(path)).read(list(columns), use_threads=False)


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Read one Parquet file batch by batch, all columns or those of some that it has."""
    with _naming_damage(path):
        file = pq.ParquetFile(_in_memory(path))
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
        batches = file.iter_batches(_ROWS_AT_ONCE, columns=names)
    while True:
        with _naming_damage(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield pa.Table.from_batches([batch])


def read_many(paths: Sequence[Path], read: Callable[[Path], Read]) -> Iterator[Read]:
    """What `read` gives of each file, in their order; several are read at a time, few wait."""
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            yield from pool.map(read, paths[start : start + _AT_ONCE])


def read_schema(path: Path) -> pa.Schema:
    """The Arrow schema of a Parquet file, with its metadata."""
    with _naming_damage(path):
        return pq.read_schema(_in_memory(path))


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Have Arrow's errors in the block name this file. Those of the system, which have a number, stay as they are."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        reason = one_line(str(error).removeprefix("Could not open Parquet input source '<Buffer>': "))
        advice = "restore it from a copy, or run again with another --out"
        raise UsageError(f"{path}: is no whole Parquet file ({reason}); {advice}") from error


def _in_memory(path: Path) -> pa.BufferReader:
    """A file's bytes in a buffer of Arrow's own.

    Given a Python file or bytes object, Arrow's threads may still hold it as Python ends, and abort the process
    (seen in 6 of 50 runs; apache/arrow issue 34314 is of the kind).
    """
    content = read_whole(path)
    buffer = pa.allocate_buffer(len(content))
    memoryview(buffer).cast("B")[:] = content
    return pa.BufferReader(buffer)
