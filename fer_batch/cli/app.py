"""The command line: parse → configuration → run → exit status. Heavy libraries are imported when needed."""

from __future__ import annotations

import json

import typer

from fer_batch.cli.exit_status import endings
from fer_batch.cli.run import run
from fer_batch.cli.tables import compact, dashboard, report, sql, summarize
from fer_batch.cli.training import evaluate, evaluate_detector, quantize, train, train_detector

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Apparent facial expressions in folders of images and videos, as Parquet tables.",
)


def info() -> None:
    """Versions, devices, the models at hand with their sha256, and the video decoders."""
    with endings():
        from fer_batch.cli.info import describe

        typer.echo(json.dumps(describe(), indent=2, ensure_ascii=False))


for command in (
    run, summarize, compact, report, sql, dashboard, train, evaluate, quantize, train_detector, evaluate_detector, info,
):  # fmt: skip
    app.command()(command)
