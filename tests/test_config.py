"""The fingerprint: what decides the rows changes it, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from fer_batch import config as config_module
from fer_batch.config import DetectorConfig, ModelId, ResolvedConfig, Sampling, differences, fingerprint
from fer_batch.emotions import EMOTIONS, EMOTIONS_MERGED

CONFIG = ResolvedConfig(
    sampling=Sampling(),
    detector=DetectorConfig("yunet", "/a/yunet.onnx", "abc"),
    model_folder=Path("/models/emotion"),
    model=ModelId("m", "1", "45", "123"),
    labels=EMOTIONS,
    inputs=("/data/a",),
    out=Path("/out"),
)

DECIDING: dict[str, Any] = {
    "sampling": Sampling(fps=2.0),
    "detector": DetectorConfig("yunet", "/a/yunet.onnx", "def"),
    "model": ModelId("m", "1", "45", "124"),
    "labels": EMOTIONS_MERGED,
}
OTHER: dict[str, Any] = {
    "inputs": ("/data/b",),
    "model_folder": Path("/elsewhere/emotion"),
    "out": Path("/other"),
    "include": ("*.mp4",),
    "exclude": ("*.png",),
    "follow_symlinks": True,
    "all_files": True,
    "device": "cpu",
    "batch_size": 1,
    "workers": 7,
    "engine": "ray",
    "ray_address": "127.0.0.1:6379",
    "classifiers": 2,
    "timeout": 1.0,
    "window": 3.0,
    "study": Path("/data/study.csv"),
    "segments": Path("/data/segments.csv"),
    "retry_failed": True,
    "restart": True,
    "report": False,
    "progress": False,
    "options": {"fps": 2.0},
}


def test_every_field_is_on_one_of_the_two_lists() -> None:
    assert sorted([*DECIDING, *OTHER]) == sorted(field.name for field in fields(ResolvedConfig))


@pytest.mark.parametrize("name", DECIDING)
def test_what_decides_the_rows_changes_it(name: str) -> None:
    assert replace(CONFIG, **{name: DECIDING[name]}).fingerprint() != CONFIG.fingerprint()


@pytest.mark.parametrize("name", OTHER)
def test_what_does_not_decide_the_rows_leaves_it(name: str) -> None:
    assert replace(CONFIG, **{name: OTHER[name]}).fingerprint() == CONFIG.fingerprint()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Sampling(start=1.0), Sampling()),
        (Sampling(end=1.0), Sampling()),
        (Sampling(fast=True), Sampling()),
        (Sampling("every", every=2), Sampling("every", every=3)),
        (Sampling("keyframes"), Sampling()),
    ],
)
def test_sampling_that_differs(first: Sampling, second: Sampling) -> None:
    assert replace(CONFIG, sampling=first).fingerprint() != replace(CONFIG, sampling=second).fingerprint()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Sampling(every=5), Sampling(every=6)),
        (Sampling("every", every=2, fps=3.0), Sampling("every", every=2, fps=4.0)),
        (Sampling("keyframes", every=2, fps=3.0), Sampling("keyframes")),
        (Sampling("every", every=2, fast=True), Sampling("every", every=2)),
        (Sampling("keyframes", fast=True), Sampling("keyframes")),
    ],
)
def test_values_that_the_mode_does_not_read_leave_it(first: Sampling, second: Sampling) -> None:
    assert replace(CONFIG, sampling=first).fingerprint() == replace(CONFIG, sampling=second).fingerprint()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"model_file": "/b/yunet.onnx"}, True),
        ({"name": "haar"}, False),
        ({"min_face": 11}, False),
        ({"min_score": 0.5}, False),
        ({"longest_side": 320}, False),
    ],
)
def test_detector_counts_by_content_not_by_place(change: dict[str, Any], same: bool) -> None:
    changed = replace(CONFIG, detector=replace(CONFIG.detector, **change))
    assert (changed.fingerprint() == CONFIG.fingerprint()) is same


def test_schema_version_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CONFIG.fingerprint()
    monkeypatch.setattr(config_module, "SCHEMA_VERSION", 99)
    assert CONFIG.fingerprint() != before


def test_fingerprint_does_not_depend_on_order_and_survives_json() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint(json.loads(json.dumps(CONFIG.result_settings()))) == CONFIG.fingerprint()
    assert len(CONFIG.fingerprint()) == 64


def test_differences_name_the_leaves() -> None:
    old = {"sampling": {"mode": "fps", "fps": 1.0, "end": None}, "labels": ["a", "b"], "same": 1}
    new = {"sampling": {"mode": "every", "every": 3, "end": None}, "labels": ["a"], "same": 1}
    assert differences(old, new) == [
        "labels: ['a', 'b'] -> ['a']",
        "sampling.every: None -> 3",
        "sampling.fps: 1.0 -> None",
        "sampling.mode: fps -> every",
    ]
    assert differences(old, old) == []


def test_differences_of_a_table_and_a_value() -> None:
    assert differences({"a": {"b": 1}}, {"a": 2}) == ["a: {'b': 1} -> 2"]
