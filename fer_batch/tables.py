"""The Parquet files of an output folder: where they are, how they are written and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fer_batch.files import write_whole


def part_path(out: Path, table: str, number: int) -> Path:
    """Where part `number` of a table is kept."""
    return out / table / f"part-{number:06d}.parquet"


def part_paths(out: Path, table: str) -> list[Path]:
    """The parts of a table, in the order of their numbers."""
    return sorted((out / table).glob("part-*.parquet"))


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as one zstd Parquet file, whole or not at all."""

    def write(aside: Path) -> None:
        with aside.open("wb") as stream:  # Arrow itself can't open names that are no UTF-8.
            pq.write_table(table, stream, compression="zstd")

    write_whole(path, write)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet file, all of it or some columns."""
    with path.open("rb") as stream:
        return pq.read_table(stream, columns=None if columns is None else list(columns))


def read_schema(path: Path) -> pa.Schema:
    """The Arrow schema of a Parquet file, with its metadata."""
    with path.open("rb") as stream:
        return pq.read_schema(stream)
