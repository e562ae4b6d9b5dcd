"""What a user gives a run: types, ranges, and options that exclude each other."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_batch.config import DetectorConfig, ResolvedConfig, Sampling
from fer_batch.errors import UsageError
from fer_batch.run_config import GROUPS, RunConfig, option_info, options


def refusal(**given: Any) -> str:
    """The message of the UsageError that these options raise; always one line."""
    with pytest.raises(UsageError) as caught:
        RunConfig(**given)
    message = str(caught.value)
    assert "\n" not in message
    return message


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
    assert RunConfig(**asked).sampling == expected


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
    message = refusal(**asked)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"paths": "a"}, ("a",)),
        ({"paths": Path("a") / "b"}, ("a/b",)),
        ({"paths": ["a", Path("b")]}, ("a", "b")),
        ({"include": "*.mp4"}, ("*.mp4",)),
        ({"out": Path("o")}, "o"),
        ({"fps": 2}, 2.0),
        ({"workers": 3}, 3),
        ({"workers": np.int64(3)}, 3),
        ({"fps": np.int32(2)}, 2.0),
        ({"fps": np.float32(2.5)}, 2.5),
        ({"out": "~/results"}, "/home/ada/results"),
        ({"paths": ["~", "a/~", "~b.mp4"]}, ("/home/ada", "a/~", "~b.mp4")),
        ({"workers": None}, None),
    ],
)
def test_values_are_converted(given: dict[str, Any], expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    (name,) = given
    value = getattr(RunConfig(**given), name)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fps": "two"}, "--fps 'two': must be a number"),
        ({"workers": 2.5}, "--workers 2.5: must be a whole number"),
        ({"workers": True}, "--workers True: must be a whole number"),
        ({"keyframes": 1}, "--keyframes 1: must be true or false"),
        ({"model": 5}, "--model 5: must be a text"),
        ({"paths": 5}, "PATH 5: must be a list of texts"),
        ({"include": [1]}, "--include [1]: must be a list of texts"),
        ({"window": None}, "--window None: must be a number"),
        ({"out": ""}, "--out '': is empty; name a file or a folder"),
        ({"paths": ["a", ""]}, "PATH '': is empty; name a file or a folder"),
        ({"workers": np.float64(2)}, "--workers np.float64(2.0): must be a whole number"),
        ({"every": 0}, "--every 0: must be at least 1"),
        ({"min_score": 1.5}, "--min-score 1.5: must be at most 1"),
        ({"timeout": 0}, "--timeout 0: must be above 0"),
        ({"device": "gup"}, "--device gup: is none of auto, cpu, gpu; did you mean gpu?"),
        ({"detector": "embeded"}, "--detector embeded: is none of embedded, haar, yunet; did you mean embedded?"),
        ({"device": "GPU"}, "--device GPU: is none of auto, cpu, gpu; did you mean gpu?"),
        ({"engine": "spark"}, "--engine spark: is none of local, ray"),
        ({"detector": "yunet"}, "--detector yunet: name its ONNX file with --detector-model FILE"),
        (
            {"detector": "haar", "detector_model": "x.onnx"},
            "--detector-model: the detector haar takes no file; add --detector yunet",
        ),
    ],
)
def test_wrong_values_are_refused_with_the_command_s_words(given: dict[str, Any], message: str) -> None:
    assert refusal(**given) == message


@pytest.mark.parametrize("given", [{"ray_address": "h:1"}, {"classifiers": 2}])
def test_options_of_ray_without_ray_are_refused(given: dict[str, Any]) -> None:
    assert "goes with --engine ray" in refusal(**given)


def test_every_option_has_a_group_and_a_line_of_help() -> None:
    for option in fields(RunConfig):
        info = option_info(option)
        assert info.group in GROUPS
        assert info.help.endswith(".")


def test_defaults_are_those_of_the_resolved_configuration() -> None:
    config = RunConfig()
    assert config.sampling == Sampling()
    assert (config.detector, config.min_face, config.longest_side) == (
        DetectorConfig().name, DetectorConfig().min_face, DetectorConfig().longest_side
    )  # fmt: skip
    for name in set(options()) & {field.name for field in fields(ResolvedConfig)} - {"detector", "model", "out"}:
        if name not in ("workers", "classifiers"):  # Worked out on each machine.
            assert getattr(config, name) == next(f.default for f in fields(ResolvedConfig) if f.name == name), name


def test_what_a_repetition_needs_is_kept_and_no_more() -> None:
    config = RunConfig(["a"], "out", include="*.mp4", every=5, restart=True, quiet=True, log_file="x.jsonl")
    assert config.repeatable() == {"paths": ["a"], "out": "out", "include": ["*.mp4"], "every": 5}
