"""Parquet files that can't be read are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fer_batch.errors import UsageError
from fer_batch.tables.parquet import read_batches, read_rows, read_schema, read_small, read_table, write_table

READS: list[Callable[[Path], Any]] = [
    read_table,
    read_schema,
    lambda path: list(read_batches(path)),
    lambda path: read_small(path, ["a"]),
    lambda path: read_rows(path, "a", "x", ["a"]),
]


@pytest.mark.parametrize("read", READS)
def test_damaged_file_is_named(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "part-1.parquet"
    write_table(path, pa.table({"a": ["x", "y"]}))
    read(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UsageError, match=r"part-1\.parquet: is no whole Parquet file .*; restore it"):
        read(path)


@pytest.mark.parametrize("read", READS)
def test_missing_file_is_an_error_of_the_system(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.parquet")
