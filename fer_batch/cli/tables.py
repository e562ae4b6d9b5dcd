"""The commands that work on the tables of a run: summarize, compact, report, sql, dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_batch.cli.arguments import Directory, Window, location_of
from fer_batch.cli.exit_status import endings
from fer_batch.config import ResolvedConfig


def summarize(
    directory: Directory,
    window: Window = ResolvedConfig.window,
) -> None:
    """Rebuild summary/ from the tables in DIR, without decoding anything again."""
    with endings():
        from fer_batch.analysis import summarize as stage
        from fer_batch.tables.lock import lock_folder
        from fer_batch.tables.run_file import read_run_file

        parts_of(directory)
        with lock_folder(directory):
            if read_run_file(directory).get("status") == "running":  # Not any more: the folder could be locked.
                typer.echo("fer-batch: the run there was killed; these are summaries of what it had finished", err=True)
            stage.summarize(directory, window)


def compact(
    directory: Directory,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="NEW", help="Write the tables into a new folder.  [default: in place]", parser=location_of
        ),
    ] = None,
) -> None:
    """Merge the many small part files of a long run into few large ones. In place on Linux; elsewhere, and on an object
    store, with --out."""
    with endings():
        from contextlib import ExitStack

        from fer_batch.tables.compaction import compact as merge
        from fer_batch.tables.lock import lock_folder

        parts_of(directory)
        with ExitStack() as locks:
            locks.enter_context(lock_folder(directory))
            if out is not None:
                locks.enter_context(lock_folder(out))
            before, after = merge(directory, out)
        typer.echo(f"{before} parts of each table became {after}", err=True)


def report(directory: Directory) -> None:
    """Rebuild report.html from the tables, summaries and run.json in DIR."""
    with endings():
        from fer_batch.report import build as stage
        from fer_batch.tables.lock import lock_folder

        summarized_parts_of(directory)
        with lock_folder(directory):
            stage.report(directory)


def sql(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")] = Path(),
) -> None:
    """Print SQL views of the tables in DIR, for DuckDB. Among them are strongest moments, coverage and failures."""
    with endings():
        from fer_batch.analysis.studies.folder import has_study
        from fer_batch.tables.sql import views

        labels = _labels_of_tables(directory)
        typer.echo("\n".join(views(directory, labels, has_study(directory)).values()), nl=False)


def dashboard(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.", show_default=False)],
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="Port on this machine, 127.0.0.1.")] = 8501,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only say where the page is.")] = False,
) -> None:
    """Open an interactive page over the tables in DIR. It ends with Ctrl-C, and needs the extra `dashboard`."""
    with endings():
        from fer_batch.dashboard import serve

        _labels_of_tables(directory)
        raise typer.Exit(serve(directory, port, not no_browser))


def parts_of(directory: Path) -> list[str]:
    """The names of the parts in a folder. Raises UsageError where it has none."""
    from fer_batch.errors import UsageError
    from fer_batch.tables.parts import committed_parts

    if not (parts := committed_parts(directory)):
        raise UsageError(f"{directory}: holds no tables of a run; give the --out folder of a run")
    return parts


def summarized_parts_of(directory: Path) -> list[str]:
    """The same. Raises UsageError also where there are no summaries."""
    from fer_batch.analysis.summarize import has_summaries
    from fer_batch.errors import UsageError

    parts = parts_of(directory)
    if not has_summaries(directory):
        raise UsageError(f"{directory}: holds no summaries; fer-batch summarize {directory} makes them")
    return parts


def _labels_of_tables(directory: Path) -> tuple[str, ...]:
    """The emotions that the tables of a folder have. Raises UsageError where it has none, or no summaries."""
    from fer_batch.analysis.summarize import table_labels

    return table_labels(directory, summarized_parts_of(directory))
