"""A full disk, an output folder that vanishes: one clear line, a status, and the same command finishes the job."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.clips import SAMPLES, make_video, steady
from tests.helpers.command import COMMAND, fer_batch
from tests.helpers.tables import rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses limits and signals as Linux has them")


@pytest.mark.slow
def test_a_disk_that_is_full(tmp_path: Path, tiny_onnx_model: Path) -> None:
    """A limit on the size of files stands for the disk: what is written fails half way."""
    arguments = ["run", SAMPLES / "photos", "--out", tmp_path / "out", "--model", tiny_onnx_model, "--workers", 1]
    command = [str(COMMAND), *map(str, arguments)]
    full = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )
    assert full.returncode == 1
    last = full.stderr.strip().splitlines()[-1]
    assert "File too large: " in last
    assert "part-000001.parquet" in last
    assert "run the same command again, which resumes where it stopped" in last
    assert "Traceback" not in full.stderr
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(left) == [".fer-batch.lock", "run.json"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed"
    assert fer_batch(*arguments).returncode == 0
    assert len(rows(tmp_path / "out", "media")) == 4


#: A script is run where disks can be mounted that nobody else sees.
APART = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def on_disks(script: str, *arguments: object) -> list[str]:
    """The lines that a shell script prints; `$@` are the arguments. Skips where it may not mount a disk."""
    try:
        subprocess.run([*APART, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs unshare and the right to mount a disk")
    command = [*APART, "bash", "-c", script, "bash", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300).stdout.splitlines()


@pytest.mark.slow
def test_a_small_disk_that_fills_up_in_the_middle_and_grows(tmp_path: Path, tiny_onnx_model: Path) -> None:
    out = tmp_path / "disk" / "out"
    out.parent.mkdir()
    script = f"""
        mount -t tmpfs -o size=48k none {out.parent}
        "$@" 2>{tmp_path}/full; echo $?
        mount -o remount,size=10m {out.parent}
        "$@" --quiet; echo $?
        ls {out}
    """
    arguments = ["run", SAMPLES / "photos", "--out", out, "--model", tiny_onnx_model, "--workers", 1]
    printed = on_disks(script, COMMAND, *arguments)
    assert printed == ["1", "0", "faces", "frames", "media", *other_results(printed), "run.json", "summary"]
    *_, last = (tmp_path / "full").read_text().splitlines()
    assert f"No space left on device: '{out}" in last
    assert "run the same command again, which resumes where it stopped" in last


def other_results(printed: list[str]) -> list[str]:
    return [name for name in printed if name == "report.html"]


def test_a_disk_that_can_only_be_read(tmp_path: Path, tiny_onnx_model: Path) -> None:
    script = f'mount -t tmpfs -o ro none {tmp_path}; "$@" 2>&1; echo $?'
    line, status = on_disks(script, COMMAND, "run", SAMPLES, "--out", tmp_path / "out", "--model", tiny_onnx_model)
    assert (line, status) == (
        f"fer-batch: --out {tmp_path}/out: {tmp_path} can't be written to; choose another folder",
        "2",
    )


@pytest.mark.slow
def test_a_disk_that_can_only_be_read_from_the_middle_of_a_run_on(tmp_path: Path, tiny_onnx_model: Path) -> None:
    folder, out = make_folder(tmp_path), tmp_path / "out"
    script = f"""
        "$@" 2>{tmp_path}/told & run=$!
        until ls {out}/media/*.parquet >&2; do sleep 0.05; kill -0 $run || exit; done 2>/dev/null
        mount -t tmpfs -o ro none {out}/faces
        wait $run; echo $?
        umount {out}/faces
        "$@" --quiet; echo $?
    """
    arguments = ["run", folder, "--out", out, "--model", tiny_onnx_model, "--fps", 25, "--workers", 1]
    assert on_disks(script, COMMAND, *arguments) == ["1", "0"]
    *_, last = (tmp_path / "told").read_text().splitlines()
    assert f"Read-only file system: '{out}/faces/" in last
    media = rows(out, "media")
    assert (len(media), set(media.status)) == (5, {"done"})


def make_folder(tmp_path: Path) -> Path:
    """A folder with a photograph and four films, of which each takes a while."""
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(SAMPLES / "photos" / "astronaut.jpg", folder)
    make_video(folder / "a.mp4", steady(25, 300), size=(320, 240))
    for name in "bcd":
        shutil.copy(folder / "a.mp4", folder / f"{name}.mp4")
    return folder


def wait_for_a_part(process: subprocess.Popen[str], out: Path) -> None:
    deadline = time.monotonic() + 120
    while not list(out.glob("media/*.parquet")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
def test_an_input_folder_that_vanishes_and_comes_back(tmp_path: Path, tiny_onnx_model: Path) -> None:
    folder, out = make_folder(tmp_path), tmp_path / "out"
    arguments = ["run", folder, "--out", out, "--model", tiny_onnx_model, "--fps", 25, "--workers", 1]
    process = subprocess.Popen([str(COMMAND), *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    try:
        wait_for_a_part(process, out)
        folder.rename(tmp_path / "away")  # As a share that was disconnected.
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1
    media = rows(out, "media")
    gone = media[media.status == "failed"]
    assert 0 < len(gone) < len(media) == 5
    assert set(gone.error_code) == {"changed"}
    assert all(f"{path}: has gone since the run began [changed]" in stderr for path in gone.media_path)
    refused = fer_batch(*arguments)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"fer-batch: {folder}: no such file or directory; check the path\n",
    )
    (tmp_path / "away").rename(folder)
    assert fer_batch(*arguments).returncode == 0
    assert set(rows(out, "media").status) == {"done"}


@pytest.mark.slow
def test_an_output_folder_that_vanishes(tmp_path: Path, tiny_onnx_model: Path) -> None:
    folder, out = make_folder(tmp_path), tmp_path / "out"
    arguments = ["run", folder, "--out", out, "--model", tiny_onnx_model, "--fps", 25, "--workers", 1]
    process = subprocess.Popen([str(COMMAND), *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    try:
        wait_for_a_part(process, out)
        process.send_signal(signal.SIGSTOP)  # So that nothing is written while it is taken away.
        shutil.rmtree(out)
        process.send_signal(signal.SIGCONT)
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "the output folder has gone since the run began" in stderr.splitlines()[-1]
    assert not os.path.exists(out)
