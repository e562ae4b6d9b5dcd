"""From what was given to what a run works with; each error is one line that names the option and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_batch.config import DetectorConfig
from fer_batch.emotion.model_folder import ModelConfig
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED
from fer_batch.errors import UsageError
from fer_batch.pipeline.resolve import choose_engine, choose_labels, find_inputs, find_out, resolve, resolve_detector
from fer_batch.run_config import RunConfig
from fer_batch.runners import ray
from fer_batch.runners.ray import Cluster


def refusal(call: Callable[[], object]) -> str:
    """The message of the UsageError that `call` raises; always one line."""
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def test_inputs_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b.mp4").touch()
    monkeypatch.chdir(tmp_path)
    assert find_inputs(["a", "./a/../b.mp4"]) == (str(tmp_path / "a"), str(tmp_path / "b.mp4"))


def test_missing_input(tmp_path: Path) -> None:
    message = refusal(lambda: find_inputs([str(tmp_path), str(tmp_path / "gone.mp4")]))
    assert message == f"{tmp_path}/gone.mp4: no such file or directory; check the path"


def test_input_that_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert f"{tmp_path}/link: no such file" in refusal(lambda: find_inputs([str(tmp_path / "link")]))


def test_input_with_a_name_no_file_can_have() -> None:
    assert refusal(lambda: find_inputs(["a" * 5000])).startswith("aaaa")


@pytest.mark.parametrize("out", ["new", "new/deeper", "."])
def test_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_out(out) == tmp_path / out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "/deeper"])
def test_out_with_a_file_in_the_way(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    message = refusal(lambda: find_out(f"{tmp_path}/file{below}"))
    assert message == f"--out {tmp_path}/file{below}: {tmp_path}/file is a file; choose a folder"


def test_out_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    message = refusal(lambda: find_out(str(tmp_path / "new")))
    assert message == f"--out {tmp_path}/new: {tmp_path} can't be written to; choose another folder"


def test_out_that_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert "--out" in refusal(lambda: find_out(str(tmp_path / "link")))


def test_detector(tmp_path: Path) -> None:
    assert resolve_detector(RunConfig(detector="haar", min_face=12, longest_side=320)) == DetectorConfig(
        "haar", min_face=12, longest_side=320
    )
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    given = RunConfig(detector="yunet", detector_model=str(file), min_score=0.5)
    assert resolve_detector(given) == DetectorConfig("yunet", str(file), sha256, min_score=0.5)


@pytest.mark.parametrize(("detector", "file"), [("yunet", "gone.onnx"), ("yunet", "."), ("embedded", "gone")])
def test_detector_model_that_is_no_file_is_refused(detector: Any, file: str) -> None:
    message = refusal(lambda: resolve_detector(RunConfig(detector=detector, detector_model=file)))
    assert re.fullmatch(rf"--detector-model {re.escape(file)}: no such file; .+", message)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "PATH is missing"),
        ({"paths": "."}, "--out is missing; name a folder for the results with --out DIR"),
        ({"paths": ".", "out": "out", "model": "emotoin"}, "did you mean emotion?"),
        ({"paths": "ftp://host/x", "out": "out"}, "only s3://, gs:// and az:// are known"),
    ],
)
def test_what_is_missing_or_unknown_is_named(given: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: resolve(RunConfig(**given)))


def test_options_are_kept_with_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    resolved = resolve(RunConfig("in", "out", fps=2, restart=True, quiet=True))
    assert resolved.options == {"paths": [str(tmp_path / "in")], "out": str(tmp_path / "out"), "fps": 2.0}
    assert (resolved.restart, resolved.progress) == (True, False)
    again = resolve(RunConfig(**resolved.options))
    assert (again.options, again.fingerprint()) == (resolved.options, resolved.fingerprint())


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
    monkeypatch.setattr(ray, "connect", lambda _: cluster)
    chosen = choose_engine("ray", None, workers, classifiers, device)
    assert (chosen["workers"], chosen["classifiers"]) == expected


@pytest.mark.parametrize(("classifiers", "words"), [(8, "leave one"), (3, "has 2 GPUs")])
def test_more_classifiers_than_a_cluster_has_room_for(
    monkeypatch: pytest.MonkeyPatch, classifiers: int, words: str
) -> None:
    monkeypatch.setattr(ray, "connect", lambda _: Cluster(8, 2 if classifiers == 3 else 0))
    with pytest.raises(UsageError, match=words):
        choose_engine("ray", None, None, classifiers, "auto")
