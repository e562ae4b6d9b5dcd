"""The public Python interface: names, results, single pictures, and errors in place of exits."""

from __future__ import annotations

import inspect
import logging
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fer_batch
from fer_batch import errors
from fer_batch.errors import PictureError, UsageError
from tests.helpers.clips import SAMPLES

PHOTOS = sorted(path.name for path in (SAMPLES / "photos").iterdir())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> fer_batch.Results:
    out = tmp_path_factory.mktemp("api") / "out"
    return fer_batch.run(SAMPLES, out, quiet=True, workers=2)


def test_the_public_names_are_these() -> None:
    assert fer_batch.__all__ == ["Results", "RunConfig", "__version__", "analyze", "errors", "open", "run"]
    assert all(getattr(fer_batch, name) is not None for name in fer_batch.__all__)
    assert set(fer_batch.__all__) <= set(dir(fer_batch))
    public = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert public == {"UsageError", "ModelFolderError", "PictureError", "DatasetError", "WorkerStartError"}
    assert {name for name in dir(fer_batch.Results) if not name.startswith("_")} == {
        "faces", "frames", "media", "run_info", "study", "summary",
    }  # fmt: skip
    assert (Path(fer_batch.__file__).parent / "py.typed").is_file()


def test_the_version_stands_in_the_package_alone() -> None:
    pyproject = (Path(fer_batch.__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in pyproject
    assert fer_batch.__version__ not in pyproject


def test_the_public_names_have_docstrings() -> None:
    for value in (fer_batch.run, fer_batch.open, fer_batch.analyze, fer_batch.Results, fer_batch.RunConfig):
        assert value.__doc__
        assert len(value.__doc__) > 40


def test_the_import_is_light() -> None:
    heavy = ("numpy", "pandas", "pyarrow", "cv2", "av", "onnxruntime", "tensorflow", "typer", "PIL")
    code = f"import sys, fer_batch; print([name for name in {heavy!r} if name in sys.modules])"
    subprocess.run([sys.executable, "-c", code], check=True)  # The first call compiles the modules.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.strip() == "[]"
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.1


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = fer_batch.analyse


def test_a_run_gives_its_tables_as_datasets(results: fer_batch.Results) -> None:
    media = results.media.to_table().to_pandas()
    assert set(media["status"]) == {"done"}
    assert media["faces_found"].sum() == results.faces.count_rows()
    assert media["frames_sampled"].sum() == results.frames.count_rows()
    happy = results.faces.to_table(columns=["media_path", "happy"]).to_pandas()
    assert happy["happy"].between(0, 1).all()


def test_summaries_are_data_frames(results: fer_batch.Results) -> None:
    summary = results.summary("by_media")
    assert isinstance(summary, pd.DataFrame)
    assert len(summary) == results.media.count_rows()


def test_a_run_is_opened_again_by_its_folder(results: fer_batch.Results) -> None:
    opened = fer_batch.open(results.path)
    assert repr(opened) == f"Results('{results.path}')"
    assert opened.faces.count_rows() == results.faces.count_rows()
    assert opened.run_info["options"] == {"paths": [str(SAMPLES)], "out": str(results.path), "workers": 2}


def test_results_opened_by_a_relative_path_stay_those_after_a_change_of_folder(
    results: fer_batch.Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results.path.parent)
    opened = fer_batch.open(results.path.name)
    monkeypatch.chdir(tmp_path)
    assert opened.path == results.path
    assert opened.faces.count_rows() == results.faces.count_rows() > 0
    assert len(opened.summary("by_media")) > 0


def test_results_that_have_gone_are_an_error_and_not_tables_without_rows(
    results: fer_batch.Results, tmp_path: Path
) -> None:
    shutil.copytree(results.path, tmp_path / "out")
    opened = fer_batch.open(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(UsageError, match="holds no tables of a run"):
        _ = opened.faces


def test_the_same_call_again_does_nothing(results: fer_batch.Results) -> None:
    before = [path.stat().st_mtime_ns for path in sorted(results.path.glob("*/part-*.parquet"))]
    again = fer_batch.run(config=results.path / "run.json", quiet=True)
    assert again.path == results.path
    assert [path.stat().st_mtime_ns for path in sorted(results.path.glob("*/part-*.parquet"))] == before


def test_another_configuration_is_refused_with_the_command_s_words(results: fer_batch.Results) -> None:
    config = fer_batch.RunConfig([SAMPLES], results.path, fps=3, quiet=True)
    with pytest.raises(UsageError, match="--restart"):
        fer_batch.run(config)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fer_batch.run(["gone"], out="x"), "gone: no such file or directory; check the path"),
        (lambda: fer_batch.run(["."]), "--out is missing"),
        (lambda: fer_batch.run(["."], out="x", fsp=2), "fsp is no option of a run; did you mean fps?"),
        (lambda: fer_batch.run(["."], out="x", confg="a.toml"), "did you mean config?"),
        (lambda: fer_batch.run(["."], out="x", fps=0), "--fps 0: must be above 0"),
        (lambda: fer_batch.open("gone"), "gone: holds no tables of a run"),
        (lambda: fer_batch.analyze("gone.jpg"), "gone.jpg: no such file; check the path"),
        (lambda: fer_batch.analyze("."), "is a folder"),
        (lambda: fer_batch.analyze(SAMPLES / "clips" / "meeting.mp4"), "is a video"),
        (lambda: fer_batch.analyze(SAMPLES / "clips" / "animated.gif"), "is a video"),
        (lambda: fer_batch.analyze("x.jpg", fps=2), "fps is no option of analyze"),
        (lambda: fer_batch.analyze("x.jpg", min_fase=2), "did you mean min_face?"),
        (lambda: fer_batch.analyze(np.zeros((4, 4), np.float32)), "picture: must be uint8"),
        (lambda: fer_batch.analyze(np.zeros((4, 4, 2), np.uint8)), "not uint8 of shape (4, 4, 2)"),
        (lambda: fer_batch.analyze(np.zeros((0, 4), np.uint8)), "picture: 4 x 0 pixels"),
        (lambda: fer_batch.analyze(Image.new("RGB", (0, 0))), "picture: 0 x 0 pixels"),
        (lambda: fer_batch.analyze(b"\xff\xd8"), "a Pillow image or an array, not bytes"),
        (lambda: fer_batch.analyze(["a.jpg", "b.jpg"]), "not list; give one picture at a time"),
        (lambda: fer_batch.analyze(None), "a Pillow image or an array, not NoneType"),
    ],
)
def test_wrong_calls_are_errors_with_the_command_s_words(call: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert words in str(caught.value)


def test_names_of_summaries_and_studies_are_checked(results: fer_batch.Results) -> None:
    with pytest.raises(UsageError, match=r"by_medai: is none of .*; did you mean by_media?"):
        results.summary("by_medai")
    with pytest.raises(UsageError, match=r"fer-batch study .* makes them"):
        results.study("curve")


@pytest.mark.parametrize("name", PHOTOS)
def test_a_picture_has_the_rows_of_a_run(results: fer_batch.Results, name: str) -> None:
    faces = results.faces.to_table().to_pandas()
    of_run = faces[faces["media_path"] == f"photos/{name}"].drop(columns="media_path").reset_index(drop=True)
    rows = fer_batch.analyze(SAMPLES / "photos" / name).drop(columns="media_path")
    assert list(rows.columns) == list(of_run.columns)
    for column in rows.columns:
        assert rows[column].astype(object).where(rows[column].notna(), None).tolist() == (
            of_run[column].astype(object).where(of_run[column].notna(), None).tolist()
        ), column


def test_pictures_in_memory_have_the_rows_of_their_file() -> None:
    file = SAMPLES / "photos" / "two_people.png"
    expected = fer_batch.analyze(file).drop(columns="media_path")
    with Image.open(file) as image:
        from_image = fer_batch.analyze(image).drop(columns="media_path")
        from_array = fer_batch.analyze(np.asarray(image.convert("RGB"))).drop(columns="media_path")
    assert len(expected) == 2
    pd.testing.assert_frame_equal(from_image, expected)
    pd.testing.assert_frame_equal(from_array, expected)


def test_gray_arrays_with_and_without_a_channel_and_gray_images_of_all_depths_are_the_same_picture() -> None:
    with Image.open(SAMPLES / "photos" / "astronaut.jpg") as image:
        gray = image.convert("L")
    expected = fer_batch.analyze(gray)
    assert len(expected) == 1
    levels = np.asarray(gray)
    transparent = Image.merge("LA", (gray, Image.new("L", gray.size, 255)))
    for picture in (levels, levels[:, :, None], Image.fromarray(levels.astype(np.uint16) * 257), transparent):
        pd.testing.assert_frame_equal(fer_batch.analyze(picture), expected)
    pd.testing.assert_frame_equal(fer_batch.analyze(transparent.convert("La")), expected)


def test_a_damaged_or_closed_image_in_memory_is_an_error_that_says_why(tmp_path: Path) -> None:
    whole = (SAMPLES / "photos" / "astronaut.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[:30_000])
    with (
        Image.open(tmp_path / "half.jpg") as half,
        pytest.raises(PictureError, match=r"picture: can't be decoded \(.*truncated.*\) \[invalid_data\]"),
    ):
        fer_batch.analyze(half)
    closed = Image.new("L", (64, 64))
    closed.close()
    with pytest.raises(PictureError, match=r"picture: can't be decoded \(.*closed.*\)"):
        fer_batch.analyze(closed)


def test_a_store_that_gives_no_access_is_an_error_that_names_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_access(file: str) -> bool:
        raise PermissionError("no credentials")

    monkeypatch.setattr("fer_batch.storage.exists", no_access)
    with pytest.raises(PictureError, match=r"photo\.jpg: can't be read \(no credentials\) \[unreadable\]"):
        fer_batch.analyze("photo.jpg")


def test_a_picture_in_memory_is_turned_as_its_exif_says() -> None:
    with Image.open(SAMPLES / "photos" / "grace_hopper.jpg") as image:
        (face,) = fer_batch.analyze(image)[["x", "y", "width", "height"]].to_numpy().tolist()
    (expected,) = fer_batch.analyze(SAMPLES / "photos" / "grace_hopper.jpg")[["x", "y", "width", "height"]].to_numpy()
    assert face == pytest.approx(expected.tolist(), abs=2)


def test_a_picture_without_a_face_has_no_rows() -> None:
    assert len(fer_batch.analyze(SAMPLES / "photos" / "no_face.jpg")) == 0


def test_options_of_an_analysis_are_those_of_a_run() -> None:
    merged = fer_batch.analyze(SAMPLES / "photos" / "astronaut.jpg", merge_disgust=True, detector="haar")
    assert "disgust" not in merged
    assert merged["detection_score"].isna().all()


def test_a_damaged_picture_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(PictureError, match=r"bad\.jpg: .* \[invalid_data\]"):
        fer_batch.analyze(tmp_path / "bad.jpg")


def test_threads_get_what_one_gets() -> None:
    files = [SAMPLES / "photos" / name for name in PHOTOS] * 4
    expected = {file: fer_batch.analyze(file) for file in set(files)}
    with ThreadPoolExecutor(8) as pool:
        for file, rows in zip(files, pool.map(fer_batch.analyze, files), strict=True):
            pd.testing.assert_frame_equal(rows, expected[file])


def test_the_program_s_own_logging_is_left_as_it_was(
    results: fer_batch.Results, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = logging.getLogger("fer_batch")
    before = package.level, list(package.handlers), package.propagate
    with caplog.at_level(logging.INFO, "fer_batch"):
        fer_batch.run(config=results.path / "run.json", log_file=tmp_path / "log.jsonl")
    assert "nothing to do" in caplog.text
    assert "nothing to do" in (tmp_path / "log.jsonl").read_text()
    assert (package.level, package.handlers, package.propagate) == before


def test_a_program_that_logs_from_info_on_gets_no_debug_messages_of_a_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        caplog.handler.setLevel(logging.NOTSET)
        fer_batch.run(SAMPLES / "photos", tmp_path / "out", log_file=tmp_path / "log.jsonl", workers=1)
        assert {record.levelname for record in caplog.records} == {"INFO"}
        assert '"level": "debug"' in (tmp_path / "log.jsonl").read_text()
        logging.getLogger("fer_batch.pipeline.part_writer").debug("afterwards")
    assert "afterwards" not in caplog.text


CALL = f"fer_batch.run([{str(SAMPLES / 'photos')!r}], out='out', quiet=True)"


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (f"import fer_batch\n{CALL}\n", 2),
        (f"import fer_batch\ndef main():\n    {CALL}\nmain()\n", 4),
        (f"import fer_batch\nif True:\n    {CALL}\n", 3),
    ],
)
def test_a_script_without_a_guard_gets_an_error_that_names_the_line(tmp_path: Path, script: str, line: int) -> None:
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert f"script.py, line {line}: fer_batch.run starts worker processes" in done.stderr
    assert done.stderr.count("Traceback") == 1
    assert not (tmp_path / "out").exists()


def test_a_script_from_standard_input_gets_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-"], input=f"import fer_batch\n{CALL}\n", cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "UsageError: <stdin>: fer_batch.run starts worker processes" in done.stderr
    assert done.stderr.count("Traceback") == 1
    assert not (tmp_path / "out").exists()


def test_a_script_with_a_guard_runs(tmp_path: Path) -> None:
    script = f"import fer_batch\nif __name__ == '__main__':\n    print({CALL}.media.count_rows())\n"
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stdout.strip(), done.returncode) == (str(len(PHOTOS)), 0), done.stderr
