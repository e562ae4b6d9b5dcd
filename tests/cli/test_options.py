"""From what was typed to a configuration; each error is one line that names the option and the mend."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_batch.cli import options
from fer_batch.cli.options import check_inputs, check_out, choose_detector, choose_labels, choose_sampling
from fer_batch.config import DetectorConfig, Sampling
from fer_batch.emotion.model_folder import ModelConfig
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import UsageError
from fer_batch.runners.ray import Cluster


def refusal(call: Callable[[], object]) -> str:
    """The message of the UsageError that `call` raises; always one line."""
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def sampling(fps=None, every=None, keyframes=False, fast=False, start=0.0, end=None):
    return choose_sampling(fps, every, keyframes, fast, start, end)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, Sampling("fps", fps=1.0)),
        ({"fps": 2.5, "fast": True}, Sampling("fps", fps=2.5, fast=True)),
        ({"fast": True}, Sampling("fps", fps=1.0, fast=True)),
        ({"every": 5, "start": 1.0, "end": 2.0}, Sampling("every", every=5, start=1.0, end=2.0)),
        ({"keyframes": True, "end": 9.0}, Sampling("keyframes", end=9.0)),
    ],
)
def test_sampling(asked: dict, expected: Sampling) -> None:
    assert sampling(**asked) == expected


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"fps": 1.0, "every": 5}, ["--fps and --every exclude each other", "give one"]),
        ({"every": 5, "keyframes": True}, ["--every and --keyframes exclude each other", "give one"]),
        ({"fps": 1.0, "every": 5, "keyframes": True}, ["--fps and --every and --keyframes", "give one"]),
        ({"fps": 0.0}, ["--fps 0", "above 0"]),
        ({"fps": -1.5}, ["--fps -1.5", "above 0"]),
        ({"fps": float("inf")}, ["--fps inf"]),
        ({"fps": float("nan")}, ["--fps nan"]),
        ({"start": 5.0, "end": 5.0}, ["--end 5", "above --start 5"]),
        ({"start": 5.0, "end": 4.5}, ["--end 4.5", "above --start 5"]),
        ({"fast": True, "every": 5}, ["--fast", "--fps", "--every"]),
        ({"fast": True, "keyframes": True}, ["--fast", "--fps", "--keyframes"]),
        ({"end": float("nan")}, ["--end nan"]),
        ({"end": float("inf")}, ["--end inf"]),
        ({"start": float("nan")}, ["--start nan"]),
        ({"start": float("inf")}, ["--start inf"]),
    ],
)
def test_sampling_that_is_refused(asked: dict, words: list[str]) -> None:
    message = refusal(lambda: sampling(**asked))
    assert all(word in message for word in words), message


def test_inputs_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b.mp4").touch()
    monkeypatch.chdir(tmp_path)
    assert check_inputs([Path("a"), Path("./a/../b.mp4")]) == (str(tmp_path / "a"), str(tmp_path / "b.mp4"))


def test_missing_input(tmp_path: Path) -> None:
    message = refusal(lambda: check_inputs([tmp_path, tmp_path / "gone.mp4"]))
    assert message == f"{tmp_path}/gone.mp4: no such file or directory; check the path"


def test_input_that_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert f"{tmp_path}/link: no such file" in refusal(lambda: check_inputs([tmp_path / "link"]))


def test_input_with_a_name_no_file_can_have() -> None:
    assert refusal(lambda: check_inputs([Path("a" * 5000)])).startswith("aaaa")


@pytest.mark.parametrize("out", ["new", "new/deeper", "."])
def test_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_out(Path(out)) == tmp_path / out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "/deeper"])
def test_out_with_a_file_in_the_way(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    message = refusal(lambda: check_out(Path(f"{tmp_path}/file{below}")))
    assert message == f"--out {tmp_path}/file{below}: {tmp_path}/file is a file; choose a folder"


def test_out_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    message = refusal(lambda: check_out(tmp_path / "new"))
    assert message == f"--out {tmp_path}/new: {tmp_path} can't be written to; choose another folder"


def test_out_that_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert "--out" in refusal(lambda: check_out(tmp_path / "link"))


def test_detector(tmp_path: Path) -> None:
    assert choose_detector("haar", None, 12, 0.5, 320) == DetectorConfig(
        "haar", min_face=12, min_score=0.5, longest_side=320
    )
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert choose_detector("yunet", file, 10, None, 640) == DetectorConfig("yunet", str(file), sha256)


@pytest.mark.parametrize(
    ("name", "file", "pattern"),
    [
        ("dlib", None, r"^--detector dlib: is none of embedded, haar, yunet$"),
        ("haar", "x.onnx", r"^--detector-model: .*haar takes no file; add --detector yunet$"),
        ("yunet", "gone.onnx", r"^--detector-model gone\.onnx: no such file; .+"),
        ("yunet", ".", r"^--detector-model \.: .+; .+"),
    ],
)
def test_detector_that_is_refused(name: str, file: str | None, pattern: str) -> None:
    message = refusal(lambda: choose_detector(name, file and Path(file), 10, None, 640))
    assert re.search(pattern, message), message


@pytest.mark.parametrize(
    ("labels", "merge", "expected"),
    [
        (EMOTIONS, False, EMOTIONS),
        (EMOTIONS, True, EMOTIONS_MERGED),
        (EMOTIONS_MERGED, False, EMOTIONS_MERGED),
        (EMOTIONS_MERGED, True, EMOTIONS_MERGED),
    ],
)
def test_labels(labels: tuple[str, ...], merge: bool, expected: tuple[str, ...]) -> None:
    model = ModelConfig("m", "1", "classic-cnn", labels, "standardize", {"fer2013": 1.0}, "fer2013", "00")
    assert choose_labels(model, merge) == expected


@pytest.mark.parametrize(
    ("cluster", "workers", "classifiers", "device", "expected"),
    [
        (Cluster(8, 0), None, None, "auto", (8, 0)),
        (Cluster(8, 2), None, None, "auto", (6, 2)),
        (Cluster(8, 2), None, None, "cpu", (8, 0)),
        (Cluster(8, 0), 20, 0, "auto", (20, 0)),  # Those without room wait for nodes to come.
        (Cluster(8, 0), 20, 3, "auto", (5, 3)),  # But no classifier may wait for a processor that a worker holds.
    ],
)
def test_work_is_spread_over_a_cluster(
    monkeypatch: pytest.MonkeyPatch,
    cluster: Cluster,
    workers: int | None,
    classifiers: int | None,
    device: Any,
    expected: tuple[int, int],
) -> None:
    monkeypatch.setattr(options, "connect", lambda _: cluster)
    chosen = options.choose_engine("ray", None, workers, classifiers, device)
    assert (chosen["workers"], chosen["classifiers"]) == expected


@pytest.mark.parametrize(("classifiers", "words"), [(8, "leave one"), (3, "has 2 GPUs")])
def test_more_classifiers_than_a_cluster_has_room_for(
    monkeypatch: pytest.MonkeyPatch, classifiers: int, words: str
) -> None:
    monkeypatch.setattr(options, "connect", lambda _: Cluster(8, 2 if classifiers == 3 else 0))
    with pytest.raises(UsageError, match=words):
        options.choose_engine("ray", None, None, classifiers, "auto")
