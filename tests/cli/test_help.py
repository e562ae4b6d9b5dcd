"""What help says: groups, defaults, examples, and what a misspelt name was meant to be. Colours on terminals alone."""

from __future__ import annotations

import os
import pty
import re
import resource
import subprocess
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from fer_batch import __version__ as fer_batch_version
from fer_batch.cli import app
from fer_batch.cli.app import COMMANDS
from fer_batch.cli.help import with_home
from fer_batch.cli.run import run as run_command
from fer_batch.run_config import GROUPS, options
from tests.helpers.command import COMMAND, fer_batch

RUN_HELP = CliRunner().invoke(app, ["run", "--help"]).output


def test_the_options_of_a_run_stand_in_groups() -> None:
    headings = re.findall(r"^([A-Z][\w ]+):$", RUN_HELP, re.MULTILINE)
    assert headings == ["Arguments", *GROUPS, "Options"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--fps N", "[default: 1]"),
        ("--longest-side PX", "[default: 640]"),
        ("--batch-size N", "[default: 64]"),
        ("--window SECONDS", "[default: 10]"),
        ("--timeout SECONDS", "[default: 3600]"),
        ("--detector embedded|haar|yunet", "[default: embedded]"),
        ("--workers N", "[default: one for each core]"),
    ],
)
def test_units_and_defaults_are_shown(option: str, words: str) -> None:
    described = RUN_HELP.split(f"  {option} ")[1].split("\n  --")[0]
    assert words in " ".join(described.split())


def test_a_switch_is_shown_by_the_side_that_changes_something() -> None:
    assert "--restart " in RUN_HELP
    assert "--no-restart" not in RUN_HELP
    assert "--report/--no-report" in RUN_HELP


def test_every_command_ends_its_help_with_examples_that_name_it() -> None:
    names = {command.__name__.replace("_", "-"): command for group in COMMANDS.values() for command in group}
    for name in names:
        text = CliRunner().invoke(app, [name, "--help"]).output
        assert re.search(rf"^ +fer-batch {name}( |$)", text.split("Examples:")[1], re.MULTILINE), name


def test_the_examples_of_help_use_options_that_exist() -> None:
    for name, command in typer.main.get_command(app).commands.items():
        known = {option for parameter in command.params for option in parameter.opts}
        used = set(re.findall(r"(?<=\s)--[\w-]+", command.epilog)) - {"--help"}
        assert used <= known, name


@pytest.mark.parametrize("name", sorted(typer.main.get_command(app).commands))
def test_help_fits_into_80_columns(name: str) -> None:
    lines = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "80"}).output.splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_no_line_about_a_command_is_cut_short() -> None:
    assert "..." not in CliRunner().invoke(app, ["--help"]).output.split("Runs:")[1]


def test_globs_are_meant_as_they_stand_on_windows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(TyperGroup, "main", lambda self, *arguments, **settings: given.update(settings))
    app(["run", "footage", "--include", "*.mp4"])
    assert given["windows_expand_args"] is False


def test_home_folder_takes_the_place_of_a_tilde_that_begins_an_argument() -> None:
    home = os.path.expanduser("~")
    assert with_home(["run", "~/footage", "a~b", "*.mp4"]) == ["run", f"{home}/footage", "a~b", "*.mp4"]


def test_the_version_is_shown_without_a_command() -> None:
    assert fer_batch("--version").stdout == f"fer-batch {fer_batch_version}\n"


def test_the_commands_stand_in_groups() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    for group, commands in COMMANDS.items():
        below = text.split(f"\n{group}:\n")[1].split("\n\n")[0]
        for command in commands:
            assert f"  {command.__name__.replace('_', '-')} " in below


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "Did you mean 'run'"),
        (["run", ".", "--out", "x", "--modle", "m"], "--model"),
        (["run", ".", "--out", "x", "--device", "gup"], "did you mean gpu?"),
        (["run", ".", "--out", "x", "--model", "emotoin"], "did you mean emotion?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(arguments: list[str], words: str) -> None:
    done = fer_batch(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_usage_error_imports_nothing_heavy() -> None:
    fer_batch("run", "--fps", "0")  # The first call compiles the modules.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert fer_batch("run", ".", "--out", "x", "--fps", "0").returncode == 2
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.5


def test_the_command_has_each_option_of_a_run_and_no_other() -> None:
    # A file of options cannot ask for a dry run, so that is not one of them.
    assert set(run_command.__annotations__) == {*options(), "config", "dry_run", "return"}


def on_a_terminal(**environment: str) -> str:
    """What the command's help is on a terminal."""
    reader, terminal = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [COMMAND, "--help"], stdout=terminal, stderr=terminal, env={**kept, "TERM": "xterm", **environment}
    ) as process:
        os.close(terminal)
        text = b""
        try:
            while block := os.read(reader, 4096):
                text += block
        except OSError:  # Linux ends a terminal so.
            pass
        assert process.wait(60) == 0
    os.close(reader)
    return text.decode()


@pytest.mark.skipif(os.name != "posix", reason="terminals differ elsewhere")
def test_colours_are_for_terminals_and_not_wanted_with_no_color() -> None:
    assert "\x1b[1mRuns" in on_a_terminal()
    assert "\x1b" not in on_a_terminal(NO_COLOR="1")
    assert "\x1b" not in fer_batch("--help").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_completes_commands_options_and_values(shell: str, tmp_path: Path) -> None:
    def completed(*words: str) -> str:
        line = " ".join(["fer-batch", *words])
        environment = {
            "_FER_BATCH_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(len(words)),
            "_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }  # fmt: skip
        done = subprocess.run(
            [COMMAND], env={**os.environ, **environment}, capture_output=True, text=True, cwd=tmp_path, timeout=60
        )
        return done.stdout

    assert "summarize" in completed("summ")
    assert "--longest-side" in completed("run", "--long")
    assert "yunet" in completed("run", "--detector", "yu")
