"""The part files of an output folder: where they are, and which of them count."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_batch.storage import list_files, list_names
from fer_batch.stores import Status
from fer_batch.tables.layout import TABLES

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
