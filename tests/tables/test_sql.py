"""Every SQL view is executed over the tables of a run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
from typer.testing import CliRunner

from fer_batch.analysis.studies.study import StudyOptions, study
from fer_batch.analysis.summarize import summarize
from fer_batch.cli import app
from fer_batch.emotions import EMOTIONS
from fer_batch.tables.sql import views
from tests.helpers.run_folder import HARMFUL
from tests.helpers.studies import Person, recording, write_csv, write_run

NAMES = list(views(Path(), EMOTIONS))


@pytest.fixture(scope="module")
def base(run_folder: Path) -> duckdb.DuckDBPyConnection:
    """What the command prints, in a database."""
    done = CliRunner().invoke(app, ["sql", str(run_folder)])
    assert done.exit_code == 0
    connection = duckdb.connect()
    connection.execute(done.stdout)
    return connection


@pytest.mark.parametrize("name", NAMES)
def test_a_view_has_rows_and_says_what_it_answers(base: duckdb.DuckDBPyConnection, name: str) -> None:
    assert base.sql(f"FROM {name}").to_arrow_table().num_rows > 0
    assert re.match(r"-- [A-Z].+[.]\nCREATE OR REPLACE VIEW ", views(Path(), EMOTIONS)[name])


def rows(base: duckdb.DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    return base.sql(query).fetchall()


def test_answers(base: duckdb.DuckDBPyConnection) -> None:
    assert rows(base, "SELECT media_done, media_failed, faces FROM at_a_glance") == [(3, 1, 121)]
    assert rows(base, "SELECT status, error_code, media_path FROM failures") == [("failed", "invalid_data", "bad.mp4")]
    query = "SELECT minute, frames, face_presence FROM per_minute WHERE media_path LIKE 'a/%'"
    assert rows(base, query) == [(0, 60, 1.0), (1, 30, 1.0)]
    query = "SELECT folder, files, frames FROM engagement_by_folder ORDER BY folder"
    assert rows(base, query) == [(".", 1, 1), ("a", 1, 90), ("b", 1, 30)]
    query = "SELECT minute, face_tracks, most_at_once FROM faces_over_time WHERE media_path LIKE 'b/%'"
    assert rows(base, query) == [(0, 2, 2)]
    query = "SELECT track_id, first_s, last_s FROM face_tracks WHERE media_path LIKE 'b/%'"
    assert rows(base, query) == [(0, 1.0, 29.0), (1, 2.0, 29.0)]
    query = "SELECT emotion, share FROM expression_shares WHERE media_path LIKE 'b/%' AND share > 0"
    assert rows(base, query) == [("sad", 1.0)]
    query = "SELECT media_path, frames_sampled, frames_with_faces FROM coverage WHERE face_presence < 1"
    assert rows(base, query) == [(HARMFUL, 30, 20)]
    assert rows(base, "SELECT status FROM coverage WHERE media_path = 'bad.mp4'") == [("failed",)]
    assert rows(base, "SELECT max(rank), count(DISTINCT measure) FROM strongest_moments") == [(10, 10)]


def test_a_folder_named_like_a_partition_adds_and_overwrites_no_column(
    base: duckdb.DuckDBPyConnection, run_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "emotion=x" / "date=2026-01-01"
    shutil.copytree(run_folder, out)
    connection = duckdb.connect()
    connection.execute("".join(views(out, EMOTIONS).values()))
    for name in NAMES:
        assert connection.sql(f"FROM {name}").columns == base.sql(f"FROM {name}").columns
    assert set(rows(connection, "SELECT emotion FROM faces")) <= {(emotion,) for emotion in EMOTIONS}


def test_views_of_a_study_are_there_once_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = {f"{group}/p{n}.mp4": level for n in range(4) for group, level in (("a", 0.0), ("b", 0.5))}
    people = {path: Person(rng.random(20) / 2 + level) for path, level in levels.items()}
    out = write_run(tmp_path / "out", [recording(path, [person]) for path, person in people.items()])
    summarize(out, 10.0)
    assert "VIEW study_" not in CliRunner().invoke(app, ["sql", str(out)]).stdout
    segments = write_csv(tmp_path / "G.csv", "segment,start_s,end_s", "begin,0,10")
    study(out, StudyOptions(write_csv(tmp_path / "S.csv", "media,group", "a/*,a", "b/*,b"), segments))
    connection = duckdb.connect()
    connection.execute(CliRunner().invoke(app, ["sql", str(out)]).stdout)
    assert set(views(Path(), EMOTIONS, study=True)) - set(NAMES) == {
        "study_by_respondent", "study_respondent_curves",
        "study_curve", "study_by_segment", "study_contrasts", "study_clear_differences",
        "study_synchrony", "study_moments",
    }  # fmt: skip
    assert rows(connection, "SELECT count(*) FROM study_by_respondent") == [(16,)]
    query = "SELECT DISTINCT value_a, value_b FROM study_clear_differences WHERE measure = 'happy'"
    assert rows(connection, query) == [("a", "b")]
    assert rows(connection, "SELECT respondents FROM study_curve WHERE factor IS NULL AND bin_start_s = 5") == [(8,)]
    assert rows(connection, "SELECT max(respondents) FROM study_synchrony WHERE measure = 'happy'") == [(8,)]


def test_a_folder_of_no_run(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["sql", str(tmp_path)])
    assert done.exit_code == 2
    assert "holds no tables of a run" in done.stderr
