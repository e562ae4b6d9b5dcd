"""`fer-batch study`: who watched what, from the tables of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from fer_batch.cli.arguments import Directory, location_of
from fer_batch.cli.exit_status import endings


# Long, for every option is a parameter.
def study(
    directory: Directory,
    study_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="STUDY.csv", help="Who watched what, a row per recording.", show_default=False, parser=location_of
        ),
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(metavar="SEGMENTS.csv", help="Named spans of stimulus time.", parser=location_of),
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="Print a STUDY.csv with the videos in DIR, to fill in.")
    ] = False,
    width: Annotated[
        float | None,
        typer.Option("--bin", metavar="SECONDS", help="Width of a row of the curve.  [default: 1, or the sampling]"),
    ] = None,
    confidence: Annotated[float, typer.Option(metavar="SHARE", help="Confidence of all intervals, 0 to 1.")] = 0.95,
    factor: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Column to compare; may be given again.  [default: all factors]"),
    ] = None,
) -> None:
    """Analyse the tables in DIR by respondent, stimulus, segment and group, into DIR/study/. A report.html in DIR
    is made again, and opens with the audience."""
    with endings():
        # Before NumPy is loaded. Its threads wait for each other busily: here they save little time, and on a machine
        # with other work they take more than twice the CPU.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from fer_batch.analysis.studies import study as analysis
        from fer_batch.errors import UsageError
        from fer_batch.log import set_up_logging
        from fer_batch.report.build import has_report, report
        from fer_batch.tables.lock import lock_folder

        if template:
            if study_file is not None:
                raise UsageError(f"--template prints a new STUDY.csv; leave {study_file} out")
            typer.echo(analysis.run_template(directory), nl=False)
            return
        if study_file is None:
            raise UsageError(f"STUDY.csv is missing; fer-batch study {directory} --template prints one to fill in")
        set_up_logging()
        options = analysis.StudyOptions(study_file, segments, width, confidence, tuple(factor or ()))
        analysis.check_options(options)
        analysis.parts_of(directory)  # Locking makes a folder where there is none.
        with lock_folder(directory):
            analysis.study(directory, options)
            if has_report(directory):
                report(directory)
        typer.echo(f"fer-batch: tables in {directory / 'study'}", err=True)
