"""`fer-batch preview` on a run over sample media: what it writes, keeps, refuses and blurs."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fer_batch.cli.app import app
from fer_batch.config import DetectorConfig
from fer_batch.detection import create_detector
from fer_batch.detection.search import find_faces
from fer_batch.errors import UsageError
from fer_batch.media.image import frame_from_bgr
from fer_batch.media.video import open_video
from fer_batch.preview import video
from fer_batch.preview.drawing import track_colour
from fer_batch.preview.options import DrawOptions
from fer_batch.preview.previews import preview
from fer_batch.tables.layout import LOCK_FILE
from fer_batch.tables.lock import lock_folder
from tests.helpers.command import fer_batch, in_process
from tests.preview.conftest import FOOTAGE

VIDEOS = [name for name in FOOTAGE if name.endswith(".mp4")]
NAMES = {f"{name}.preview.{'mp4' if name.endswith('mp4') else 'jpg'}" for name in FOOTAGE}


def files(folder: Path) -> dict[str, int]:
    """The files below a folder, with their times; without the lock's."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_FILE]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


def frames_of(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    with open_video(str(path)) as reader:
        for picture in reader.frames():
            yield float(picture.time), picture.bgr(10_000)


@pytest.fixture(scope="module")
def drawn(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The previews of all sample media."""
    folder = tmp_path_factory.mktemp("drawn") / "previews"
    done = fer_batch("preview", results, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert "5 drawn, 0 there already, 0 failed" in done.stderr
    return folder


@pytest.mark.slow
def test_every_file_has_a_preview_and_nothing_else_is_written(drawn: Path, results: Path) -> None:
    assert set(files(drawn)) == NAMES
    assert not [name for name in files(results) if name.endswith((".mp4", ".jpg"))]


@pytest.mark.parametrize("name", VIDEOS)
def test_boxes_lie_where_the_tables_say(drawn: Path, results: Path, name: str) -> None:
    faces = pd.read_parquet(results / "faces")
    faces = faces[faces.media_path == name].merge(
        pd.read_parquet(results / "frames")[["media_path", "sample_index", "width", "height"]],
        on=["media_path", "sample_index"],
        suffixes=("", "_frame"),
    )
    assert len(faces)
    seen = 0
    shown = dict(frames_of(drawn / f"{name}.preview.mp4"))
    for face in faces.itertuples():
        time = min(shown, key=lambda time: abs(time - face.timestamp_s))
        assert time == pytest.approx(face.timestamp_s, abs=1e-3)
        scale = shown[time].shape[1] / face.width_frame
        left, right = round(face.x * scale), round((face.x + face.width) * scale)
        top, bottom = round(face.y * scale), round((face.y + face.height) * scale)
        for edge in (left, right):
            if 2 < edge < shown[time].shape[1] - 2:
                column = shown[time][max(top, 0) + 6 : bottom - 6, edge - 1 : edge + 2].astype(int)
                near = np.abs(column - np.array(track_colour(int(face.track_id)))).sum(axis=2).min(axis=1) < 160
                assert near.mean() > 0.5  # An arrow or a label may cross it.
                seen += 1
    assert seen >= len(faces)


def test_second_call_keeps_what_is_there(drawn: Path, results: Path) -> None:
    before = files(drawn)
    assert preview(results, drawn, progress=False)
    assert files(drawn) == before


def test_other_options_draw_again(results: Path, tmp_path: Path) -> None:
    for fps in (2.0, 4.0):
        assert preview(results, tmp_path, ["phone.mp4"], DrawOptions(fps=fps), progress=False)
    assert len(list(frames_of(tmp_path / "clips/phone.mp4.preview.mp4"))) > 12


def test_interrupted_preview_leaves_nothing_behind(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(video, "draw_faces", interrupt)
    with pytest.raises(KeyboardInterrupt):
        preview(results, tmp_path, progress=False)
    assert files(tmp_path) == {}


@pytest.fixture
def moved(footage: Path, results: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The media and a copy of the run, which still names the old place."""
    shutil.copytree(footage, tmp_path / "moved")
    shutil.copytree(results, tmp_path / "results")
    return tmp_path / "moved", tmp_path / "results"


def test_media_elsewhere_are_found_by_source(moved: tuple[Path, Path], tmp_path: Path) -> None:
    media, results = moved
    for path in media.rglob("*.*"):
        os.utime(path, (0, 0))  # As a copy would.
    assert preview(results, tmp_path / "out", ["photos/*"], moved_to=str(media), progress=False)
    assert set(files(tmp_path / "out")) == {name for name in NAMES if name.startswith("photos")}


def test_changed_source_is_refused_and_the_others_drawn(moved: tuple[Path, Path], tmp_path: Path) -> None:
    media, results = moved
    with (media / "photos/no_face.jpg").open("ab") as stream:
        stream.write(b"more")
    done = in_process("preview", results, "photos/*", "--out", tmp_path / "out", "--source", media)
    assert done.returncode == 1
    assert "photos/no_face.jpg: has changed since the run" in done.stderr
    assert "run again" in done.stderr
    assert set(files(tmp_path / "out")) == {"photos/two_people.png.preview.jpg"}


def test_other_content_of_the_same_size_is_refused(
    moved: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    media, results = moved
    path = media / "photos/no_face.jpg"
    path.write_bytes(path.read_bytes()[:-1] + b"x")  # The size stays.
    assert not preview(results, tmp_path / "out", ["no_face.jpg"], moved_to=str(media), progress=False)
    assert "photos/no_face.jpg: has changed since the run" in caplog.text
    assert files(tmp_path / "out") == {}


def test_missing_source_is_told_with_the_option_that_helps(
    results: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    assert not preview(results, tmp_path / "out", ["phone.mp4"], moved_to=str(tmp_path / "empty"), progress=False)
    assert "name with --source where the media lie now" in caplog.text


def test_unknown_name_is_an_error_that_names_the_nearest(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"clips/phon\.mp4.*did you mean clips/phone\.mp4\?"):
        preview(results, tmp_path, ["clips/phon.mp4"], progress=False)


@pytest.mark.parametrize(
    "arguments", ["--end 1 --start 2", "--moments --fps 2", "--end inf", "--start nan", "--fps inf"]
)
def test_options_that_do_not_fit_are_wrong_usage(results: Path, tmp_path: Path, arguments: str) -> None:
    done = CliRunner().invoke(app, ["preview", str(results), "--out", str(tmp_path / "out"), *arguments.split()])
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_folder_among_the_media_is_wrong_usage(results: Path, footage: Path) -> None:
    done = CliRunner().invoke(app, ["preview", str(results), "--out", str(footage / "previews")])
    assert done.exit_code == 2
    assert "where a run would read it" in done.stderr


def test_folder_among_the_results_is_wrong_usage(results: Path) -> None:
    done = CliRunner().invoke(app, ["preview", str(results), "--out", str(results / "faces")])
    assert done.exit_code == 2
    assert "lies in the results" in done.stderr


def test_one_preview_at_a_time_writes_into_a_folder(results: Path, tmp_path: Path) -> None:
    with lock_folder(tmp_path / "out"):
        done = in_process("preview", results, "photos/*", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "another process is writing there" in done.stderr


def test_file_that_the_run_could_not_read_is_told(footage: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy2(footage / "photos/no_face.jpg", tmp_path / "in")
    (tmp_path / "in/broken.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(30))
    out = tmp_path / "out"
    assert in_process("run", tmp_path / "in", "--out", out, "--workers", 1, "--no-report").returncode == 1
    done = in_process("preview", out, "--out", tmp_path / "drawn")
    assert done.returncode == 0
    assert "1 file that the run could not read left out" in done.stderr
    done = in_process("preview", out, "broken.mp4", "--out", tmp_path / "drawn")
    assert done.returncode == 2
    assert "broken.mp4: the run could not read it" in done.stderr


def test_no_face_is_found_where_all_were_blurred(
    results: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = DrawOptions(start=1.0, end=2.0, fps=10, blur=True)
    with caplog.at_level(logging.INFO, "fer_batch"):
        assert preview(results, tmp_path, ["pan_and_zoom.mp4", "two_people.png"], options, progress=False)
    config = DetectorConfig("embedded")
    detector = create_detector(config)
    pictures = [picture for _, picture in frames_of(tmp_path / "clips/pan_and_zoom.mp4.preview.mp4")]
    assert len(pictures) >= 10
    assert f"found 0 faces in {len(pictures) + 1} blurred pictures at the detector's threshold" in caplog.text
    pictures.append(np.asarray(Image.open(tmp_path / "photos/two_people.png.preview.jpg").convert("RGB"))[:, :, ::-1])
    for picture in pictures:
        assert not find_faces(frame_from_bgr(picture, colour=True), detector, config)
