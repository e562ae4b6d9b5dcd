"""The main job on sample_media with the installed command: tables, sums, resume, workers, kill -9, bad files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fer_batch.emotions import EMOTIONS
from fer_batch.tables.schema import faces_schema, frames_schema, media_schema
from tests.helpers.clips import SAMPLES
from tests.helpers.command import COMMAND, fer_batch, in_process
from tests.helpers.privacy import assert_no_pictures
from tests.helpers.processes import children, wait_for
from tests.helpers.tables import assert_same_rows, rows

CLIPS_WITH_FACES = {"pan_and_zoom.mp4", "meeting.mp4", "phone.mp4", "variable_rate.mp4", "animated.gif"}


def snapshot(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    done = fer_batch("run", SAMPLES, "--out", out, "--fps", 2, "--workers", 2)
    assert done.returncode == 0, done.stderr
    return out


def test_tables_have_the_schema_of_the_contract(run: Path) -> None:
    for table, schema in (("faces", faces_schema(EMOTIONS)), ("frames", frames_schema(EMOTIONS))):
        for part in (run / table).glob("*.parquet"):
            assert pq.read_schema(part).remove_metadata() == schema
    assert pq.read_schema(next((run / "media").glob("*.parquet"))).remove_metadata() == media_schema()


def test_every_clip_with_a_face_has_faces(run: Path) -> None:
    media = rows(run, "media")
    assert set(media.status) == {"done"}
    assert len(media) == 9
    with_faces = {Path(path).name for path in media[media.faces_found > 0].media_path}
    assert with_faces >= CLIPS_WITH_FACES | {"astronaut.jpg", "grace_hopper.jpg", "two_people.png"}
    assert media.set_index("media_path").faces_found["photos/no_face.jpg"] == 0


def test_rows_add_up(run: Path) -> None:
    faces, frames, media = (rows(run, table) for table in ("faces", "frames", "media"))
    assert np.allclose(faces[list(EMOTIONS)].sum(axis=1), 1.0, atol=1e-5)
    assert len(faces) == frames.face_count.sum() == media.faces_found.sum() > 0
    assert len(frames) == media.frames_sampled.sum()
    assert (faces.emotion == faces[list(EMOTIONS)].idxmax(axis=1)).all()
    per_frame = faces.groupby(["media_path", "sample_index"])[list(EMOTIONS)].mean()
    joined = frames.set_index(["media_path", "sample_index"]).loc[per_frame.index, list(EMOTIONS)]
    assert np.allclose(per_frame, joined, atol=1e-6)
    assert frames[frames.face_count == 0].happy.isna().all()
    counts = json.loads((run / "run.json").read_text())["counts"]
    assert counts["discovered"] == counts["done"] + counts["failed"] == len(media) == 9


def test_times_are_the_files_own(run: Path) -> None:
    frames = rows(run, "frames").set_index("media_path")
    due = np.ceil(np.arange(16) * 0.5 * 25) / 25  # The first frame of 25 a second at or after each half second.
    assert np.allclose(frames.timestamp_s["clips/pan_and_zoom.mp4"], due)
    variable = frames.timestamp_s["clips/variable_rate.mp4"].to_numpy()
    assert (np.diff(variable) > 0).all()
    assert not np.allclose(variable * 2, np.round(variable * 2))  # Uneven frames do not fall on the half seconds.
    assert frames.timestamp_s["photos/astronaut.jpg"] is None or np.isnan(frames.timestamp_s["photos/astronaut.jpg"])


def test_rotation_is_applied(run: Path) -> None:
    media = rows(run, "media").set_index("media_path")
    assert tuple(media.loc["clips/phone.mp4", ["width", "height"]]) == (270, 480)
    assert tuple(media.loc["photos/grace_hopper.jpg", ["width", "height"]]) == (512, 600)


def test_no_face_in_the_empty_stretch(run: Path) -> None:
    frames = rows(run, "frames")
    meeting = frames[frames.media_path == "clips/meeting.mp4"].set_index("timestamp_s").face_count
    assert (meeting[(meeting.index > 0.5) & (meeting.index < 2.9)] == 2).all()
    assert (meeting[(meeting.index > 3.1) & (meeting.index < 5.9)] == 0).all()


def test_the_report_is_written_and_rebuilt_from_the_tables_alone(run: Path, tmp_path: Path) -> None:
    text = (run / "report.html").read_text()
    assert "meeting.mp4" in text
    shutil.copytree(run, tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    assert in_process("report", tmp_path / "out").returncode == 0
    assert (tmp_path / "out" / "report.html").read_text() == text


def test_without_a_report_there_is_none_and_the_next_run_writes_just_it(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    again = ("run", SAMPLES, "--out", tmp_path / "out", "--fps", 2, "--workers", 2)
    (tmp_path / "out" / "report.html").unlink()
    before = snapshot(tmp_path / "out")
    assert in_process(*again, "--no-report").returncode == 0
    assert snapshot(tmp_path / "out") == before
    assert in_process(*again).returncode == 0
    after = snapshot(tmp_path / "out")
    assert after.pop("report.html")
    assert after == before


def test_duckdb_reads_the_tables_as_users_do(run: Path) -> None:
    share, n = duckdb.sql(
        f"SELECT avg((face_count > 0)::int), count(*) FROM read_parquet('{run}/frames/*.parquet')"
    ).fetchall()[0]
    overall = pd.read_parquet(run / "summary" / "overall.parquet").iloc[0]
    assert overall.face_presence == pytest.approx(share)
    assert overall.frames == n
    assert (pd.read_csv(run / "summary" / "overall.csv").iloc[0].happy) == pytest.approx(overall.happy)


def test_no_output_holds_pictures(run: Path) -> None:
    """Nor vectors that faces could be known again by, whatever kinds of files a run leaves."""
    assert len([path for path in run.rglob("*") if path.is_file()]) > 10
    assert_no_pictures(run)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems find a home elsewhere")
def test_nothing_is_written_outside_of_the_folder(tmp_path: Path) -> None:
    """Neither at home, nor beside the media, nor where the command was given; nor is any of it left in a scratch
    folder."""
    for name in ("home", "scratch", "here", "in"):
        (tmp_path / name).mkdir()
    for path in (SAMPLES / "photos" / "astronaut.jpg", SAMPLES / "clips" / "animated.gif"):
        shutil.copy(path, tmp_path / "in")
    (tmp_path / "in" / "%2e%2e%2fout.jpg").write_bytes(b"a name that looks like a way out")
    (tmp_path / "home" / ".keras").mkdir()
    # Somebody else's settings, with which the model would not load.
    (tmp_path / "home" / ".keras" / "keras.json").write_text('{"image_data_format": "channels_first"}')
    before = snapshot(tmp_path)
    done = subprocess.run(
        [COMMAND, "run", tmp_path / "in", "--out", tmp_path / "out", "--log-file", tmp_path / "out.log"],
        cwd=tmp_path / "here",
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "scratch")}
        | {name: value for name, value in os.environ.items() if name.startswith("PYTHON")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    after = snapshot(tmp_path)
    new = {name for name in after if name not in before}
    assert {name for name in new if not name.startswith("out/")} == {"out.log"}
    assert {name: after[name] for name in before} == before


def test_second_run_changes_no_byte_and_starts_no_tensorflow(run: Path) -> None:
    before = snapshot(run)
    arguments = ["run", str(SAMPLES), "--out", str(run), "--fps", "2", "--workers", "2"]
    code = (
        "import sys; from fer_batch.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]
    assert snapshot(run) == before


@pytest.mark.slow
def test_one_worker_gives_the_same_rows(run: Path, tmp_path: Path) -> None:
    done = fer_batch("run", SAMPLES, "--out", tmp_path / "out", "--fps", 2, "--workers", 1, "--batch-size", 7)
    assert done.returncode == 0, done.stderr
    assert_same_rows(run, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
def test_killed_half_way_and_started_again(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [str(COMMAND), "run", str(SAMPLES), "--out", str(out), "--fps", "2", "--workers", "2"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    # One part committed is half way: some files are done, others are not.
    deadline = time.monotonic() + 120
    while not list((out / "media").glob("part-*.parquet")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = fer_batch("run", SAMPLES, "--out", out, "--fps", 2, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert_same_rows(run, out)


def test_another_configuration_is_refused_by_name(run: Path) -> None:
    before = snapshot(run)
    done = in_process("run", SAMPLES, "--out", run, "--fps", 1)
    assert done.returncode == 2
    assert "sampling.fps: 2.0 -> 1.0" in done.stderr
    assert "--restart" in done.stderr
    assert snapshot(run) == before


def test_summarize_with_another_window(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    assert in_process("summarize", tmp_path / "out", "--window", 2).returncode == 0
    timeline = pd.read_parquet(tmp_path / "out" / "summary" / "timeline.parquet")
    pan = timeline[timeline.media_path == "clips/pan_and_zoom.mp4"]
    assert list(pan.start_s) == [0.0, 2.0, 4.0, 6.0]
    assert pan.frames.sum() == 16


@pytest.fixture
def bad_folder(tmp_path: Path) -> Path:
    """The folder of the issue: each file bad in its own way, beside good ones."""
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(SAMPLES / "photos" / "astronaut.jpg", folder)
    shutil.copy(SAMPLES / "clips" / "animated.gif", folder)
    whole = (SAMPLES / "clips" / "phone.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: whole.index(b"moov")])
    (folder / "empty.mp4").touch()
    (folder / "text.jpg").write_text("this is no picture\n" * 20)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    _write_audio_only(folder / "audio.mp4")
    return folder


def _write_audio_only(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16000
        for packet in [*stream.encode(silence), *stream.encode(None)]:
            container.mux(packet)


def test_bad_files_cost_only_themselves(bad_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = fer_batch("run", bad_folder, "--out", out, "--workers", 1)
    assert done.returncode == 1
    media = rows(out, "media").set_index("media_path")
    assert dict(zip(media.index, media.status, strict=True)) == {
        "animated.gif": "done",
        "astronaut.jpg": "done",
        "audio.mp4": "failed",
        "cut.mp4": "failed",
        "empty.mp4": "failed",
        "text.jpg": "failed",
    }
    failed = media[media.status == "failed"]
    assert dict(zip(failed.index, failed.error_stage + "/" + failed.error_code, strict=True)) == {
        "audio.mp4": "decode/no_video_stream",
        "cut.mp4": "decode/invalid_data",
        "empty.mp4": "discover/empty_file",
        "text.jpg": "decode/invalid_data",
    }
    assert all(message.startswith(path) for path, message in failed.error_message.items())
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert (counts["discovered"], counts["done"], counts["failed"]) == (6, 2, 4)

    before = snapshot(out)
    assert (
        fer_batch("run", bad_folder, "--out", out, "--workers", 1).returncode == 1
    )  # Still failed, and not tried again.
    assert snapshot(out) == before
    shutil.copy(SAMPLES / "photos" / "two_people.png", bad_folder / "text.jpg")  # Mended: content decides.
    (bad_folder / "empty.mp4").unlink()
    assert fer_batch("run", bad_folder, "--out", out, "--workers", 1, "--retry-failed").returncode == 1
    mended = rows(out, "media").set_index("media_path")
    assert (mended.status["text.jpg"], mended.faces_found["text.jpg"]) == ("done", 2)
    assert mended.status["cut.mp4"] == "failed"
    assert "empty.mp4" in mended.index  # What is gone from the input keeps its row; run.json counts it as absent.
    assert json.loads((out / "run.json").read_text())["counts"]["absent"] == 1


def test_a_changed_file_replaces_its_rows(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    shutil.copy(SAMPLES / "photos" / "astronaut.jpg", folder / "one.jpg")
    shutil.copy(SAMPLES / "photos" / "astronaut.jpg", folder / "two.jpg")
    assert fer_batch("run", folder, "--out", out, "--workers", 1).returncode == 0
    shutil.copy(SAMPLES / "photos" / "two_people.png", folder / "two.jpg")
    assert fer_batch("run", folder, "--out", out, "--workers", 1).returncode == 0
    assert list(rows(out, "frames").face_count) == [1, 2]
    assert list(rows(out, "media").faces_found) == [1, 2]
    assert len(rows(out, "faces")) == 3


@pytest.mark.slow
def test_restart_with_six_classes_removes_only_what_runs_make(tmp_path: Path) -> None:
    out = tmp_path / "out"
    again = ("run", SAMPLES / "photos", "--out", out, "--workers", 1)
    assert fer_batch(*again).returncode == 0
    (out / "media" / "holiday.mp4").write_bytes(b"mine")
    (out / "notes.txt").write_text("mine")
    assert fer_batch(*again, "--restart", "--merge-disgust").returncode == 0
    assert (out / "media" / "holiday.mp4").read_bytes() == b"mine"
    assert (out / "notes.txt").read_text() == "mine"
    faces = rows(out, "faces")
    assert "disgust" not in faces
    assert np.allclose(faces[[name for name in EMOTIONS if name != "disgust"]].sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems want file names in Unicode")
def test_any_file_name_the_system_allows(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/in \xff")
    out = os.fsdecode(os.fsencode(tmp_path) + b"/out \xfe")
    os.mkdir(folder)
    for name in (b"line\nbreak.jpg", b"b\xe4d.jpg", "größe 猫.jpg".encode(), b"back\\slash.jpg", b"-dash.jpg"):
        shutil.copy(SAMPLES / "photos" / "astronaut.jpg", os.fsdecode(os.fsencode(folder) + b"/" + name))
    with open(os.fsdecode(os.fsencode(folder) + b"/\x1b[31m\xff.jpg"), "wb") as stream:
        stream.write(b"no picture")
    done = fer_batch("run", folder, "--out", out, "--workers", 1, "--log-file", tmp_path / "log")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert r"\x1b[31m\xff.jpg: not a picture, whatever its name says [invalid_data]" in done.stderr
    assert "6 files: 5 done, 1 failed (1 invalid_data); 0 skipped" in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["media_path"] for line in lines if "error_code" in line] == ["\x1b[31m\\xff.jpg"]
    assert lines[-2]["counts"]["failed"] == 1
    before = snapshot(Path(out))
    assert fer_batch("run", folder, "--out", out, "--workers", 1).returncode == 1
    assert snapshot(Path(out)) == before
    os.rename(out, tmp_path / "plain")  # Arrow's own readers, used below, want UTF-8.
    media = rows(tmp_path / "plain", "media")
    assert list(media.media_path) == [
        "\x1b[31m\\xff.jpg", "-dash.jpg", "b\\xe4d.jpg", "back\\\\slash.jpg", "größe 猫.jpg", "line\nbreak.jpg"
    ]  # fmt: skip
    assert (media.faces_found[1:] == 1).all()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_ends_with_130_and_goes_on(run: Path, tmp_path: Path, sent: signal.Signals) -> None:
    out = tmp_path / "out"
    command = [str(COMMAND), "run", str(SAMPLES), "--out", str(out), "--fps", "2", "--workers", "2"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(children(process.pid)) >= 2)  # Workers are at work.
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resumes where it stopped" in stderr
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    assert fer_batch("run", SAMPLES, "--out", out, "--fps", 2, "--workers", 2).returncode == 0
    assert_same_rows(run, out)


def test_shared_footage_with_yunet(tmp_path: Path) -> None:
    shared = SAMPLES.parent.parent / "shared"
    model = shared / "models" / "yunet_n_640_640.onnx"
    if not model.is_file() or not (shared / "media").is_dir():
        pytest.skip("needs the footage and the detector of ../shared, which are not part of the repository")
    out = tmp_path / "out"
    options = ["--detector", "yunet", "--detector-model", model, "--fps", 5]
    assert fer_batch("run", shared / "media", "--out", out, *options).returncode == 0
    per_frame = rows(out, "frames").groupby("media_path").face_count.mean()
    assert per_frame["one_face_talking.mp4"] >= 0.95
    assert per_frame["classroom.gif"] >= 3.8
    assert per_frame["two_people.gif"] >= 1.9
    times = rows(out, "frames").set_index("media_path").timestamp_s["one_face_talking.mp4"].to_numpy()
    assert np.allclose(times / 0.04, np.round(times / 0.04), atol=1e-9)
