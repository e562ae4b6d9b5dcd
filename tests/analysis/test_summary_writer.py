"""The files of a table as Parquet and as CSV."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fer_batch.analysis.summary_writer import SummaryWriter


def test_table_that_begins_with_an_empty_chunk_is_written_whole(tmp_path: Path) -> None:
    rows = pa.table({"name": ["a", "b"], "value": [1.5, 2.5]})
    with SummaryWriter(tmp_path, "table", rows.schema) as writer:
        writer.write(pa.concat_tables([rows.schema.empty_table(), rows]))
    assert (tmp_path / "table.csv").read_text() == 'name,value\n"a",1.5\n"b",2.5\n'
    assert pq.read_table(tmp_path / "table.parquet").equals(rows)


def test_column_names_are_quoted_and_harmless_in_spreadsheets(tmp_path: Path) -> None:
    rows = pa.table({"=1+1": ["x"], "a, b": ["y"]})
    with SummaryWriter(tmp_path, "table", rows.schema) as writer:
        writer.write(rows)
    assert (tmp_path / "table.csv").read_text() == '\'=1+1,"a, b"\n"x","y"\n'
