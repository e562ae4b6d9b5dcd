"""The installed command, as a user types it: usage, statuses, and how light it is to start."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.clips import SAMPLES
from tests.helpers.command import fer_batch, in_process

HEAVY = ("tensorflow", "keras", "onnxruntime", "cv2", "av", "ray", "pandas", "pyarrow")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from fer_batch.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_engine_that_is_not_installed_ends_the_run_with_the_line_that_installs_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"  # As good as not installed.
        "from fer_batch.cli import app\n"
        f"app(['run', {str(SAMPLES)!r}, '--out', {str(tmp_path / 'out')!r}, '--engine', 'ray'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    message = 'fer-batch: --engine ray needs Ray; in your checkout of fer_batch: pip install ".[ray]"'
    assert done.stderr.strip() == message
    assert not (tmp_path / "out").exists()


def test_help_costs_under_half_a_second_of_cpu() -> None:
    fer_batch("--help")  # The first call compiles the modules.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert fer_batch("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.5


def test_help_names_every_option_of_the_contract() -> None:
    text = in_process("run", "--help").stdout
    options = (
        "--config --engine --study --segments "
        "--fps --every --keyframes --fast --start --end --detector --detector-model --min-face --min-score --model "
        "--longest-side --merge-disgust --device --batch-size --workers --include --exclude --follow-symlinks "
        "--all-files --retry-failed --restart --window --timeout --no-report --quiet --verbose --log-file --out"
    )
    assert [option for option in options.split() if f"{option} " not in text and f"{option}\n" not in text] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: no such file"),
        ([SAMPLES, "--fps", 2, "--every", 3], "--fps and --every exclude each other"),
        ([SAMPLES, "--every", 3, "--keyframes"], "--every and --keyframes exclude each other"),
        ([SAMPLES, "--fps", 0], "must be above 0"),
        ([SAMPLES, "--start", 5, "--end", 5], "must be above --start"),
        ([SAMPLES, "--model", "nothing"], "nothing: neither a folder"),
        ([SAMPLES, "--model", SAMPLES], "neither a folder with a config.json"),
        ([SAMPLES, "--detector", "yolo"], "is none of embedded, haar, yunet"),
        ([SAMPLES, "--config", "gone.toml"], "gone.toml: no such file"),
        ([SAMPLES, "--detector", "yunet"], "--detector-model FILE"),
        ([SAMPLES, "--detector", "haar", "--min-score", 0.5], "gives no scores"),
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(tmp_path: Path, arguments: list[object], words: str) -> None:
    done = in_process("run", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_opencv_refuses_is_one_line_without_opencvs_own(tmp_path: Path) -> None:
    options = ["--detector", "yunet", "--detector-model", SAMPLES / "README.md"]
    done = fer_batch("run", SAMPLES, *options, "--out", tmp_path / "out")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "OpenCV can't use it" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_misspelt_model_is_one_line_before_tensorflow_is_imported(tmp_path: Path) -> None:
    done = fer_batch("evaluate", "emotoin", tmp_path / "faces.csv")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "did you mean emotion?" in done.stderr


def test_out_inside_an_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for out in (tmp_path, tmp_path / "clips", tmp_path / "results"):
        done = in_process("run", tmp_path, "--out", out)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
        assert "lies inside an input" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["clips"]


def test_an_input_that_is_one_of_our_own_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    done = in_process("run", tmp_path / "media", "--out", tmp_path)
    assert done.returncode == 2
    assert "lies inside an input" in done.stderr


def test_summarize_says_what_to_give_it(tmp_path: Path) -> None:
    done = in_process("summarize", tmp_path)
    assert done.returncode == 2
    assert "give the --out folder of a run" in done.stderr


def test_report_says_what_to_give_it(tmp_path: Path) -> None:
    done = in_process("report", tmp_path)
    assert done.returncode == 2
    assert "give the --out folder of a run" in done.stderr


@pytest.mark.slow
def test_info_names_models_decoders_and_devices() -> None:
    done = fer_batch("info")
    values = json.loads(done.stdout)
    assert done.returncode == 0
    for name in ("emotion", "face_detector"):
        assert len(values["models"][name]["sha256"]) == len(values["models"][name]["int8_sha256"]) == 64
    assert {"h264", "hevc"} <= set(values["video_decoders"])
    assert values["device"]
    assert values["versions"]["tensorflow"]
    assert "CUDA" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals differ elsewhere")
def test_nothing_found_leaves_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no media")
    done = fer_batch("run", tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["discovered"] == 0
    assert len(list((tmp_path / "out" / "faces").glob("*.parquet"))) == 1
