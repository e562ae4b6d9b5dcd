"""`fer-batch study`, and the study at the end of `fer-batch run`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fer_batch import storage
from fer_batch.analysis.summarize import summarize
from fer_batch.cli import app
from fer_batch.report.build import report
from fer_batch.tables.layout import STUDY_FILES
from tests.helpers.clips import SAMPLES
from tests.helpers.command import fer_batch
from tests.helpers.s3 import needs_s3, s3_on_loopback
from tests.helpers.studies import Person, recording, write_csv, write_run


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run on six recordings."""
    rng = np.random.default_rng(0)
    recordings = [recording(f"{group}/p{n}.mp4", [Person(rng.random(12))]) for n in range(3) for group in "ab"]
    return write_run(tmp_path / "out", recordings)


def test_study_writes_its_tables_and_says_where(folder: Path, tmp_path: Path) -> None:
    study = write_csv(tmp_path / "S.csv", "media,group", "a/*,a", "b/*,b")
    segments = write_csv(tmp_path / "G.csv", "segment,start_s,end_s", "middle,4,8")
    done = command("study", folder, study, "--segments", segments, "--bin", 2, "--confidence", 0.9, "--factor", "group")
    assert done.exit_code == 0, done.output
    assert f"tables in {folder}/study" in done.output
    assert sorted(path.name for path in (folder / "study").iterdir()) == sorted(STUDY_FILES)
    assert pd.read_parquet(folder / "study" / "curve.parquet")["bin_start_s"].unique().tolist() == [0, 2, 4, 6, 8, 10]


def test_study_makes_an_existing_report_again(folder: Path, tmp_path: Path) -> None:
    study = write_csv(tmp_path / "S.csv", "media,group", "a/*,a", "b/*,b")
    assert command("study", folder, study).exit_code == 0
    assert not (folder / "report.html").exists()
    summarize(folder, 10.0)
    report(folder)
    (folder / "report.html").write_text("an earlier one")
    assert command("study", folder, study).exit_code == 0
    assert 'id="audience-1"' in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["media,respondant", "a/p0.mp4,x"], "S.csv, line 1: unknown column respondant; did you mean respondent?"),
        (["media", "c/*"], "S.csv, line 2, column media: 'c/*' matches no file of the run; "),
        (["media,respondent", "a/*,x", "a/p1.mp4,y"], "line 3, column media: faces of a/p1.mp4 are claimed by line 2"),
        (["media,offset_s", "a/*,12"], "line 2, column offset_s: 12 is beyond the end of a/p0.mp4, which is 12"),
        (["media;offset_s", "a/*;1,5"], "S.csv, line 2, column offset_s: '1,5' has a decimal comma; write 1.5"),
    ],
)  # fmt: skip
def test_bad_study_is_one_line_with_status_2_and_writes_nothing(
    folder: Path, tmp_path: Path, lines: list[str], message: str
) -> None:
    done = command("study", folder, write_csv(tmp_path / "S.csv", *lines))
    assert done.exit_code == 2
    assert message in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert not (folder / "study").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out"], "STUDY.csv is missing; fer-batch study out --template prints one to fill in"),
        (["out", "S.csv", "--template"], "--template prints a new STUDY.csv; leave S.csv out"),
        (["nowhere", "S.csv"], "nowhere: holds no tables of a run; give the --out folder of a run"),
        (["out", "S.csv", "--bin", "-1"], "--bin -1: must be above 0"),
        (["out", "S.csv", "--factor", "group"], "--factor group: is no factor column of S.csv; the factors are: none"),
        (["out", "S.csv", "--segments", "none.csv"], "none.csv: no such file; check the path"),
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder.parent)
    write_csv(Path("S.csv"), "media", "a/p0.mp4")
    before = sorted(Path().rglob("*"))
    done = command("study", *arguments)
    assert (done.exit_code, done.output) == (2, f"fer-batch: {message}\n")
    assert sorted(Path().rglob("*")) == before


def test_template_is_a_study_of_every_video(folder: Path, tmp_path: Path) -> None:
    printed = command("study", folder, "--template").output
    (tmp_path / "S.csv").write_text(printed)
    assert command("study", folder, tmp_path / "S.csv").exit_code == 0
    rows = pd.read_parquet(folder / "study" / "by_respondent.parquet")
    assert rows["respondent"].tolist() == ["a/p0", "a/p1", "a/p2", "b/p0", "b/p1", "b/p2"]
    assert rows["stimulus"].unique().tolist() == ["stimulus"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_on_loopback(monkeypatch):
        yield "s3://bucket"


@needs_s3
def test_study_on_a_store_is_the_same_as_here(folder: Path, tmp_path: Path, bucket: str) -> None:
    study = write_csv(tmp_path / "S.csv", "media,group", "a/*,a", "b/*,b")
    assert command("study", folder, study).exit_code == 0
    for path in folder.rglob("part-*"):
        storage.put(storage.location(f"{bucket}/out/{path.relative_to(folder)}"), path.read_bytes())
    storage.put(storage.location(f"{bucket}/S.csv"), study.read_bytes())
    done = command("study", f"{bucket}/out", f"{bucket}/S.csv")
    assert done.exit_code == 0, done.output
    for name in STUDY_FILES:
        stored = storage.location(f"{bucket}/out/study/{name}").read_bytes()
        if name.endswith(".csv"):
            assert stored == (folder / "study" / name).read_bytes()


@pytest.mark.slow
def test_run_ends_with_its_study_and_again_only_where_something_changed(tmp_path: Path, tiny_onnx_model: Path) -> None:
    study = write_csv(tmp_path / "S.csv", "media,respondent", "meeting.mp4,anna")
    segments = write_csv(tmp_path / "G.csv", "segment,start_s,end_s", "begin,0,2")
    arguments = ("run", SAMPLES / "clips", "--out", tmp_path / "out", "--model", tiny_onnx_model)
    with_study = (*arguments, "--study", study, "--segments", segments)

    assert fer_batch(*with_study).returncode == 0
    made = tmp_path / "out" / "study" / "by_segment.parquet"
    assert pd.read_parquet(made)["segment"].fillna("-").tolist() == ["-", "begin"]
    configuration = json.loads((tmp_path / "out" / "run.json").read_text())["configuration"]
    assert (configuration["study"], configuration["segments"]) == (str(study), str(segments))
    first = made.stat().st_mtime_ns

    assert "nothing to do" in fer_batch(*with_study).stderr
    assert made.stat().st_mtime_ns == first

    write_csv(segments, "segment,start_s,end_s", "begin,0,3")
    assert "nothing to do" in fer_batch(*with_study).stderr  # But the study, of the tables that are there.
    assert pd.read_parquet(made)["end_s"].tolist()[1] == 3

    write_csv(study, "media,faces", "meeting.mp4,track 99")  # Which only the tables tell.
    done = fer_batch(*with_study)
    assert done.returncode == 1
    assert "meeting.mp4 has no track 99" in done.stderr
    assert "all tables of the run are there: correct it and give the same command again" in done.stderr


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["media,offset", "meeting.mp4,1"], "line 1: unknown column offset; did you mean offset_s?"),
        (["media", "meting.mp4"], "'meting.mp4' matches no file of the run; did you mean meeting.mp4?"),
    ],
)  # fmt: skip
def test_run_checks_its_study_before_it_decodes(
    tmp_path: Path, tiny_onnx_model: Path, lines: list[str], message: str
) -> None:
    study = write_csv(tmp_path / "S.csv", *lines)
    done = command("run", SAMPLES / "clips", "--out", tmp_path / "out", "--model", tiny_onnx_model, "--study", study)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out").exists()


def test_run_takes_segments_only_with_a_study(tmp_path: Path, tiny_onnx_model: Path) -> None:
    done = command(
        "run", SAMPLES, "--out", tmp_path / "out", "--model", tiny_onnx_model, "--segments", tmp_path / "G.csv"
    )
    assert (done.exit_code, done.output) == (2, "fer-batch: --segments goes with --study; leave it out or add that\n")
