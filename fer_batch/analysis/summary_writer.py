"""The files of summary/: each table as Parquet and as CSV, slice by slice."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fer_batch.atomic import atomic_file, naming_errors

#: How a formula begins, also in the full-width forms that spreadsheets accept, and what they pass over before it.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # A line feed is quoted, and stays.


class SummaryWriter:
    """A table that is being written as NAME.parquet and NAME.csv, there once the context ends, whole or not at all."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        self._paths = folder / f"{name}.parquet", folder / f"{name}.csv"
        self._schema = schema
        self._open = ExitStack()

    def __enter__(self) -> SummaryWriter:
        with ExitStack() as stack:
            stream = stack.enter_context(_whole_stream(self._paths[0]))
            self._parquet = stack.enter_context(pq.ParquetWriter(stream, self._schema, compression="zstd"))
            self._csv = stack.enter_context(_whole_stream(self._paths[1]))
            self._csv.write(_header(self._schema.names))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def write(self, table: pa.Table) -> None:
        """Write some rows; of columns, those that the files have."""
        # In one chunk: with an empty one in front, Arrow 26 writes the memory of its buffer into the CSV file.
        table = table.select(self._schema.names).combine_chunks()
        with naming_errors(self._paths[0]):
            self._parquet.write_table(table)
        with naming_errors(self._paths[1]):
            pa_csv.write_csv(harmless_in_spreadsheets(table), self._csv, pa_csv.WriteOptions(include_header=False))


@contextmanager
def _whole_stream(path: Path) -> Iterator[BinaryIO]:
    # A stream of Python's: Arrow itself can't open names that are no UTF-8.
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        yield stream


def harmless_in_spreadsheets(table: pa.Table) -> pa.Table:
    """The table with an apostrophe before every text that a spreadsheet would take for a formula, and with escapes for
    control characters, of which a carriage return would begin a row of its own.

    A file may be called `=HYPERLINK(...)`. The signs are those of OWASP's page on CSV injection.
    """

    for index, column in enumerate(table.schema):
        if pa.types.is_string(column.type):
            texts = table[column.name].combine_chunks().dictionary_encode()
            escaped = pa.array([_harmless(text) for text in texts.dictionary.to_pylist()], pa.string())
            table = table.set_column(index, column.name, escaped.take(texts.indices))
    return table


def _harmless(value: str) -> str:
    text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
    return f"'{text}" if _FORMULA.match(value) else text


def _header(names: Sequence[str]) -> bytes:
    """The first line of a CSV file. Arrow would put every name between quotes."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(_harmless, names))
    return line.getvalue().encode()
