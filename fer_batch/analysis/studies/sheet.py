"""Small tables that people write by hand or in a spreadsheet: STUDY.csv and SEGMENTS.csv.

Every UsageError names the file, the line, the column, and what to write instead.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from fer_batch.errors import UsageError
from fer_batch.storage import read_whole

_DECIMAL_COMMA = re.compile(r"([+-]?\d*),(\d+)")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Row:
    """One line of a sheet. Cells are by column, without blanks around them; a missing column's is empty."""

    file: str
    line: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """What stands in a column; empty where nothing does."""
        return self.cells.get(column, "")

    def number(self, column: str, default: float | None = None) -> float:
        """The number in a column. Raises UsageError for what is none, and for an empty cell without a default."""
        text = self.text(column)
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            raise self.error(column, _why_no_number(text)) from None
        if not math.isfinite(value):
            raise self.error(column, f"{text!r} is not a finite number; write a number such as 12.5")
        return value

    def error(self, column: str | None, problem: str) -> UsageError:
        """What is wrong with a cell, or with the line, as an exception."""
        place = f"{self.file}, line {self.line}" + (f", column {column}" if column else "")
        return UsageError(f"{place}: {problem}")


@dataclass(frozen=True)
class Sheet:
    """The rows of a file, and its columns in their order."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_sheet(path: Path, required: Sequence[str], known: Sequence[str], others: bool) -> Sheet:
    """Read a table of comma or semicolon separated values in UTF-8, with or without a byte order mark.

    Lines that begin with `#` are comments; empty lines are passed over.

    Args:
        path: A local file or one on a store.
        required: The columns that must be there.
        known: All columns that have a meaning, the required ones among them.
        others: Whether more columns may be there. One that is nearly a known column which is missing is taken for a
            spelling mistake.

    Raises:
        UsageError: The file can't be read, is no such table, or its columns are not these.
    """
    file = str(path)
    lines = _decode(path, file).splitlines(keepends=True)
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    delimiter = _delimiter(file, first)
    # Comments become empty lines, so that the reader's line numbers stay those of the file.
    reader = csv.reader(("\n" if line.startswith("#") else line for line in lines), delimiter=delimiter, strict=True)
    rows = _cells(file, reader)
    header = next(rows, None)
    if header is None:
        raise UsageError(f"{file}: is empty; its first line must name columns, {', '.join(known)}")
    number, names = header
    body = list(rows)
    names = _without_empty_columns(file, number, names, body)
    _check_columns(file, number, names, required, known, others)
    if not body:
        raise UsageError(f"{file}: has no rows below its header; write one per recording or segment")
    return Sheet(file, tuple(names), tuple(_row(file, line, names, cells, delimiter) for line, cells in body))


def _decode(path: Path, file: str) -> str:
    try:
        content = bytes(read_whole(path))
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file; check the path") from None
    except OSError as error:
        raise UsageError(f"{file}: can't be read ({error.strerror or error}); check the path") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UsageError(f"{file}: is in UTF-16, as `>` in Windows PowerShell writes; save it as 'CSV UTF-8'")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{file}, line {line}: is not UTF-8 (byte 0x{content[error.start]:02X}); save it as 'CSV UTF-8'"
        ) from None


def _delimiter(file: str, header: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", header)
    if "\t" in unquoted and not set(",;") & set(unquoted):
        raise UsageError(f"{file}: its columns are separated by tabs; save it with commas or semicolons")
    return ";" if unquoted.count(";") > unquoted.count(",") else ","


def _cells(file: str, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """The lines that have content, with their numbers."""
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            line = getattr(reader, "line_num", 0)
            raise UsageError(f"{file}, line {line}: can't be read ({error}); check its quotes") from None
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        if any(cells):
            yield getattr(reader, "line_num", 0), cells


def _without_empty_columns(file: str, line: int, names: list[str], body: list[tuple[int, list[str]]]) -> list[str]:
    """The names without those at the end that spreadsheets leave behind: no name, and no content anywhere."""
    while names and not names[-1] and not any(any(cells[len(names) - 1 :]) for _, cells in body):
        names = names[:-1]
    if "" in names:
        raise UsageError(f"{file}, line {line}: column {names.index('') + 1} has no name; name it or remove it")
    return names


def _check_columns(
    file: str, line: int, names: list[str], required: Sequence[str], known: Sequence[str], others: bool
) -> None:
    place = f"{file}, line {line}"
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{place}: column {name} is there twice; rename or remove one")
        if name in known:
            continue
        absent = {column.lower(): column for column in known if column not in names}
        near = get_close_matches(name.lower(), list(absent), 1, 0.75)
        if near:
            raise UsageError(f"{place}: unknown column {name}; did you mean {absent[near[0]]}?")
        if not others:
            raise UsageError(f"{place}: unknown column {name}; the columns are {', '.join(known)}")
    for name in required:
        if name not in names:
            raise UsageError(f"{place}: column {name} is missing; the columns are {', '.join(known)}")


def _row(file: str, line: int, names: list[str], cells: list[str], delimiter: str) -> Row:
    row = Row(file, line, dict(zip(names, cells, strict=False)))
    if any(cells[len(names) :]):
        more = "a decimal comma? Write a point; or " if delimiter == "," else ""
        raise row.error(
            None,
            f"has {len(cells)} values for {len(names)} columns; {more}put quotes around a value with a {delimiter!r}",
        )
    return row


def _why_no_number(text: str) -> str:
    if not text:
        return "is empty; write a number"
    if found := _DECIMAL_COMMA.fullmatch(text):
        return f"{text!r} has a decimal comma; write {found[1] or 0}.{found[2]}"
    if found := _CLOCK.fullmatch(text):
        seconds = 3600 * int(found[1] or 0) + 60 * int(found[2]) + float(found[3])
        return f"{text!r} is not in seconds; write {seconds:g}"
    return f"{text!r} is not a number; write one such as 12.5"
