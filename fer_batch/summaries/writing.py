"""The files of summary/: each table as Parquet and as CSV, slice by slice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fer_batch.files import whole_file

#: How a formula begins, also in the full-width forms that spreadsheets accept, and what they pass over before it.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # A line feed is quoted, and stays.


class SummaryWriter:
    """A table that is being written as NAME.parquet and NAME.csv."""

    def __init__(self, parquet: pq.ParquetWriter, csv: pa.NativeFile) -> None:
        self._parquet, self._csv = parquet, csv

    def write(self, table: pa.Table) -> None:
        """Write some rows; of columns, those that the files have."""
        table = table.select(self._parquet.schema.names)
        self._parquet.write_table(table)
        pa_csv.write_csv(harmless_in_spreadsheets(table), self._csv, pa_csv.WriteOptions(include_header=False))


@contextmanager
def summary_writer(folder: Path, name: str, schema: pa.Schema) -> Iterator[SummaryWriter]:
    """Both files, there once the block has ended, whole or not at all."""
    # Streams of Python's: Arrow itself can't open names that are no UTF-8.
    with (
        whole_file(folder / f"{name}.parquet") as parquet_aside,
        whole_file(folder / f"{name}.csv") as csv_aside,
        parquet_aside.open("wb") as parquet_stream,
        csv_aside.open("wb") as csv_stream,
        pq.ParquetWriter(parquet_stream, schema, compression="zstd") as parquet,
    ):
        csv_stream.write((",".join(schema.names) + "\n").encode())  # Arrow would put every name between quotes.
        yield SummaryWriter(parquet, csv_stream)


def harmless_in_spreadsheets(table: pa.Table) -> pa.Table:
    """The table with an apostrophe before every text that a spreadsheet would take for a formula, and with escapes for
    control characters, of which a carriage return would begin a row of its own.

    A file may be called `=HYPERLINK(...)`. The signs are those of OWASP's page on CSV injection.
    """

    def harmless(value: str) -> str:
        text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
        return f"'{text}" if _FORMULA.match(value) else text

    for index, column in enumerate(table.schema):
        if pa.types.is_string(column.type):
            texts = table[column.name].combine_chunks().dictionary_encode()
            told = pa.array([harmless(text) for text in texts.dictionary.to_pylist()], pa.string())
            table = table.set_column(index, column.name, told.take(texts.indices))
    return table
