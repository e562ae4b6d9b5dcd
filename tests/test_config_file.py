"""Options from a TOML file or an earlier run.json: names, types, paths, precedence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fer_batch.config_file import make_config, read_config_file
from fer_batch.errors import UsageError


def toml(folder: Path, text: str) -> str:
    (folder / "night.toml").write_text(text, encoding="utf-8")
    return str(folder / "night.toml")


def refusal(file: str, **given: Any) -> str:
    with pytest.raises(UsageError) as caught:
        make_config(given, file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_options_are_read_by_their_long_names(tmp_path: Path) -> None:
    file = toml(tmp_path, 'fps = 2\nmin-face = 20\nlongest_side = 800\nexclude = ["*.LRV"]\nreport = false\n')
    assert read_config_file(file) == {
        "fps": 2.0, "min_face": 20, "longest_side": 800, "exclude": ("*.LRV",), "report": False
    }  # fmt: skip


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert read_config_file(toml(tmp_path, "\ufefffps = 2\n")) == {"fps": 2.0}


def test_a_file_that_is_not_utf_8_is_refused_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "night.toml").write_bytes('out = "Caf\xe9"'.encode("latin-1"))
    assert refusal(str(tmp_path / "night.toml")).endswith("; save it as UTF-8")


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    file = toml(tmp_path, 'paths = ["films", "/data", "s3://b/c", "~/x"]\nout = "results"\nlog-file = "logs/a.jsonl"\n')
    config = make_config({}, file)
    assert config.paths == (f"{tmp_path}/films", "/data", "s3://b/c", "/home/ada/x")
    assert (config.out, config.log_file) == (f"{tmp_path}/results", f"{tmp_path}/logs/a.jsonl")


def test_a_model_is_a_name_unless_a_folder_of_that_name_lies_beside_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, 'model = "mine"\n')
    assert make_config({}, file).model == "mine"
    (tmp_path / "mine").mkdir()
    assert make_config({}, file).model == f"{tmp_path}/mine"


def test_options_on_the_command_line_win(tmp_path: Path) -> None:
    config = make_config({"fps": 5.0, "out": "here"}, toml(tmp_path, 'fps = 2\nout = "there"\nworkers = 3\n'))
    assert (config.fps, config.out, config.workers) == (5.0, "here", 3)


@pytest.mark.parametrize(
    ("text", "given", "mode"),
    [
        ("fps = 2\nfast = true", {"every": 5}, "every"),
        ("keyframes = true", {"fps": 2.0}, "fps"),
        ("every = 5", {"keyframes": True}, "keyframes"),
        ("keyframes = true", {"keyframes": False}, "fps"),
    ],
)
def test_another_kind_of_sampling_on_the_command_line_replaces_the_file_s(
    tmp_path: Path, text: str, given: dict[str, Any], mode: str
) -> None:
    assert make_config(given, toml(tmp_path, text)).sampling.mode == mode


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fsp = 2", "night.toml: fsp is no option of a run; did you mean fps?"),
        ("min-fase = 2", "min-fase is no option of a run; did you mean min_face?"),
        ("config = 'x'", "config is no option of a run"),
        ("min-face = 20\nmin_face = 30", "night.toml: min_face is there twice, with - and with _"),
        ("[sampling]\nfps = 2", "[sampling] is a table; write options at the top, without tables"),
        ("fps = 'two'", "night.toml: --fps 'two': must be a number"),
        ("workers = 2.5", "night.toml: --workers 2.5: must be a whole number"),
        ("fps = 0", "night.toml: --fps 0: must be above 0"),
        ("detector = 'har'", "did you mean haar?"),
        ("fps 2", "night.toml: can't be read"),
        ("fps = 2\nevery = 3", "--fps and --every exclude each other"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(toml(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(f"{tmp_path}/gone.toml") == f"--config {tmp_path}/gone.toml: no such file; check the path"


def test_an_unknown_option_of_the_python_interface_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="min_fce is no option of a run; did you mean min_face"):
        make_config({"min_fce": 3})


def test_the_options_of_a_run_json_are_read(tmp_path: Path) -> None:
    kept = {"paths": ["/data"], "out": "/results", "fps": 2.0, "exclude": ["*.LRV"]}
    (tmp_path / "run.json").write_text(json.dumps({"status": "done", "options": kept}))
    config = make_config({"workers": 1}, str(tmp_path / "run.json"))
    assert config.repeatable() == {**kept, "workers": 1}


@pytest.mark.parametrize("content", ["{}", "[]", '{"configuration": {}}'])
def test_a_run_json_without_options_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    assert "holds no options of a run" in refusal(str(tmp_path / "run.json"))
