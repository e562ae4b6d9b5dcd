"""The command line: parse → configuration → run → exit status. Heavy libraries are imported when needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from fer_batch.cli.exit_status import endings
from fer_batch.cli.help import CONTEXT_SETTINGS, Command, Group, examples
from fer_batch.cli.preview import preview
from fer_batch.cli.run import run
from fer_batch.cli.study import study
from fer_batch.cli.tables import compact, dashboard, report, sql, summarize
from fer_batch.cli.training import evaluate, evaluate_detector, quantize, train, train_detector
from fer_batch.version import __version__

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=CONTEXT_SETTINGS,
    help="Apparent facial expressions in folders of images and videos, as Parquet tables.",
    epilog=examples("fer-batch run ~/footage --out ~/results", "fer-batch run --help"),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fer-batch {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """The options that need no command."""


def info() -> None:
    """Versions, devices, the models at hand with their sha256, and the video decoders."""
    with endings():
        from fer_batch.cli.info import describe

        typer.echo(json.dumps(describe(), indent=2, ensure_ascii=False))


#: Every command by the heading it stands under, with examples for its help.
COMMANDS: dict[str, dict[Callable[..., Any], tuple[str, ...]]] = {
    "Runs": {
        run: (
            "# every image and video below a folder, a frame a second",
            "fer-batch run ~/footage --out ~/results",
            "# videos alone, five frames a second",
            "fer-batch run ~/footage --out ~/results --include '*.mp4' --fps 5",
            "# small faces in large pictures too",
            "fer-batch run ~/footage --out ~/results --longest-side 1280",
            "# read the files again that failed last time",
            "fer-batch run ~/footage --out ~/results --retry-failed",
            "# options from a file; those on the command line win",
            "fer-batch run --config night.toml --workers 2",
            "# repeat an earlier run",
            "fer-batch run --config ~/results/run.json",
        ),
        info: ("fer-batch info",),
    },
    "Results": {
        summarize: ("fer-batch summarize ~/results --window 5",),
        study: (
            "# a file to fill in, with the videos of the run",
            "fer-batch study ~/results --template > STUDY.csv",
            "fer-batch study ~/results STUDY.csv --segments SEGMENTS.csv",
        ),
        report: ("fer-batch report ~/results",),
        preview: (
            "# every video and image of a run, with boxes and measures drawn in",
            "fer-batch preview ~/results --out ~/previews",
            "# ten seconds of one video, with faces blurred",
            "fer-batch preview ~/results a.mp4 --out ~/previews --start 2 --end 12 --blur",
            "# one picture of the strongest moments",
            "fer-batch preview ~/results --out ~/previews --moments",
        ),
        dashboard: ("fer-batch dashboard ~/results",),
        sql: ("fer-batch sql ~/results > views.sql",),
        compact: ("fer-batch compact ~/results",),
    },
    "Models": {
        train: ("fer-batch train fer2013.csv --out my_model",),
        evaluate: (
            "fer-batch evaluate emotion fer2013.csv",
            "fer-batch evaluate my_model fer2013.csv --json figures.json --card CARD.md",
        ),
        quantize: ("fer-batch quantize my_model fer2013.csv",),
        train_detector: ("fer-batch train-detector photographs.parquet --out my_detector",),
        evaluate_detector: ("fer-batch evaluate-detector embedded photographs.parquet",),
    },
}

for panel, commands in COMMANDS.items():
    for command, lines in commands.items():
        app.command(cls=Command, context_settings=CONTEXT_SETTINGS, rich_help_panel=panel, epilog=examples(*lines))(
            command
        )
