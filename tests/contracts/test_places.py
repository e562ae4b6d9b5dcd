"""The main job gives the same tables wherever it runs and wherever its files are, and goes on from one to the other."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from fer_batch import storage
from tests.helpers.clips import SAMPLES
from tests.helpers.command import fer_batch, in_process
from tests.helpers.processes import wait_for
from tests.helpers.ray_cluster import SETTINGS
from tests.helpers.s3 import needs_s3, s3_on_loopback
from tests.helpers.tables import rows

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, tiny_onnx_model: Path) -> Path:
    out = tmp_path_factory.mktemp("local") / "out"
    done = fer_batch("run", SAMPLES, "--out", out, "--model", tiny_onnx_model, "--fps", 2)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def ray_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_on_loopback(monkeypatch):
        yield "s3://bucket"


def upload(folder: Path, url: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            storage.put(storage.location(f"{url}/{path.relative_to(folder)}"), path.read_bytes())


def download(url: str, folder: Path) -> Path:
    for file, relative, _ in storage.walk(url):
        storage.copy(storage.location(file), folder / relative)
    return folder


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("ray_settings")
def test_a_run_begun_locally_goes_on_under_ray_and_the_other_way_round(
    local: Path, tiny_onnx_model: Path, tmp_path: Path
) -> None:
    out, folder = tmp_path / "out", tmp_path / "sample_media"
    arguments = ["run", folder, "--out", out, "--model", tiny_onnx_model, "--fps", 2]
    shutil.copytree(SAMPLES / "photos", folder / "photos")
    assert fer_batch(*arguments).returncode == 0
    shutil.copytree(SAMPLES / "clips", folder / "clips")
    done = fer_batch(*arguments, "--engine", "ray", "--workers", 1, "--classifiers", 1)
    assert done.returncode == 0, done.stderr
    run_file = json.loads((out / "run.json").read_text())
    assert (run_file["configuration"]["engine"], run_file["model"]["device"]) == ("ray", "1 x cpu")
    assert (run_file["counts"]["skipped"], run_file["counts"]["processed"]) == (4, 5)
    assert set(rows(out, "media").media_path) == set(rows(local, "media").media_path)
    done = fer_batch(*arguments)
    assert "nothing to do" in done.stderr
    # What was made by either engine equals what one has made alone, but for when the copies were made.
    assert_same_tables(out, local)


def assert_same_tables(one: Path, other: Path) -> None:
    for table in ("faces", "frames", "media"):
        mine, theirs = (rows(out, table).drop(columns="modified", errors="ignore") for out in (one, other))
        pd.testing.assert_frame_equal(mine, theirs, atol=1e-5, rtol=0)


#: The command with a lock that counts as stale after three seconds in place of half a minute.
IMPATIENT = (
    "from fer_batch.tables import lock; assert (lock.HEARTBEAT_S, lock.STALE_AFTER_S) == (5.0, 30.0)\n"
    "lock.HEARTBEAT_S, lock.STALE_AFTER_S = 0.5, 3.0\n"
    "from fer_batch.cli import app; app()"
)  # fmt: skip


@pytest.mark.slow
@needs_s3
def test_from_a_bucket_to_a_bucket_killed_half_way_and_finished_by_the_same_command(
    bucket: str, local: Path, tiny_onnx_model: Path, tmp_path: Path
) -> None:
    upload(SAMPLES, f"{bucket}/in/sample_media")
    out = storage.location(f"{bucket}/out")
    arguments = ["run", f"{bucket}/in/sample_media", "--out", str(out), "--model", str(tiny_onnx_model), "--fps", "2"]
    impatient = [sys.executable, "-c", IMPATIENT, *arguments]
    process = subprocess.Popen([*impatient, "--workers", "1"], start_new_session=True)
    try:
        wait_for(lambda: storage.list_names(out / "media"), 120.0)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(impatient, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "checking for" in done.stderr
    run_file = json.loads(bytes(storage.read_whole(out / "run.json")))
    assert run_file["counts"]["processed"] < run_file["counts"]["done"] == 9
    copy = download(str(out), tmp_path / "copy")
    assert_same_tables(copy, local)
    assert (copy / "summary" / "overall.csv").read_bytes() == (local / "summary" / "overall.csv").read_bytes()
    everything = [path for path in copy.rglob("*") if path.is_file()]
    assert not any(b"not-a-real" in path.read_bytes() for path in everything)  # The credentials of the server.
    assert "not-a-real" not in done.stderr

    before = {path.relative_to(copy): path.read_bytes() for path in everything}
    assert "nothing to do" in fer_batch(*arguments).stderr
    again = download(str(out), tmp_path / "again")
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()} == before
    done = in_process("summarize", str(out), "--window", 2)
    assert done.returncode == 0, done.stderr
    refused = fer_batch(*arguments[:-1], "1")
    assert refused.returncode == 2
    assert "sampling.fps: 2.0 -> 1.0" in refused.stderr
