"""A folder of an earlier version of the tables: what is read from tables still reads it."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from fer_batch.cli import app
from fer_batch.dashboard.queries import Selection, Tables
from fer_batch.emotions import EMOTIONS
from fer_batch.tables.schema import faces_schema, media_schema

#: What version 1 did not have.
LATER = {"media": ["recorded_at", "stream_index"], "faces": ["sharpness", "brightness", "outside_frame"], "frames": []}


@pytest.fixture
def earlier(run_folder: Path, tmp_path: Path) -> Path:
    """The run's folder as version 1 wrote it."""
    out = tmp_path / "earlier"
    shutil.copytree(run_folder, out, ignore=shutil.ignore_patterns("summary", ".*"))
    for table, columns in LATER.items():
        for part in (out / table).iterdir():
            found = pq.read_table(part, partitioning=None).drop_columns(columns)
            found = found.replace_schema_metadata(found.schema.metadata | {b"fer_batch.schema_version": b"1"})
            pq.write_table(found, part, compression="zstd")
    return out


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_version_1_is_what_the_schemas_have_less() -> None:
    assert set(LATER["media"]) < set(media_schema().names)
    assert set(LATER["faces"]) < set(faces_schema(EMOTIONS).names)


def test_folder_of_version_1_is_summarized_reported_and_compacted(earlier: Path) -> None:
    for command in ("summarize", "report", "compact"):
        assert call(command, earlier).exit_code == 0
    assert pq.read_table(earlier / "summary" / "by_media.parquet").num_rows == 3
    assert "smiling.mp4" in (earlier / "report.html").read_text(encoding="utf-8")


def test_folder_of_version_1_is_queried(earlier: Path) -> None:
    assert call("summarize", earlier).exit_code == 0
    base = duckdb.connect()
    base.execute(call("sql", earlier).stdout)
    views = [name for (name,) in base.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()]
    assert {"faces", "frames", "media", "faces_over_time", "failures"} <= set(views)
    for name in views:
        base.sql(f"FROM {name}").to_arrow_table()


def test_folder_of_version_1_fills_the_dashboard(earlier: Path) -> None:
    assert call("summarize", earlier).exit_code == 0
    tables = Tables(earlier, EMOTIONS)
    chosen = Selection(tuple(tables.files()["media_path"]), 0, 100)
    assert tables.glance(chosen)["faces"] > 0
    for rows in (tables.over_time(chosen), tables.by_file(chosen), tables.tracks(chosen), tables.failures()):
        assert len(rows)


def test_folder_of_version_1_is_studied(earlier: Path) -> None:
    design = earlier / "STUDY.csv"
    design.write_text(call("study", earlier, "--template").stdout, encoding="utf-8")
    assert call("study", earlier, design).exit_code == 0
    assert pq.read_table(earlier / "study" / "by_respondent.parquet").num_rows == 3


def test_folder_of_version_1_is_not_previewed_and_a_line_says_what_to_do(earlier: Path, tmp_path: Path) -> None:
    done = call("preview", earlier, "--out", tmp_path / "preview")
    assert done.exit_code == 2
    assert "holds tables of version 1" in done.stderr
    assert "run again with another --out, and preview that" in " ".join(done.stderr.split())
    assert not (tmp_path / "preview").exists()
