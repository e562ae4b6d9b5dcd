"""`fer-batch preview`: what a run saw, drawn into its media."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from fer_batch.cli.arguments import Directory, location_of
from fer_batch.cli.exit_status import EXIT_DONE, EXIT_SOME_FAILED, endings


# Long, for every option is a parameter.
def preview(
    directory: Directory,
    media: Annotated[
        list[str] | None,
        typer.Argument(metavar="MEDIA", help="Paths in the tables, names or globs.  [default: all]"),
    ] = None,
    *,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the pictures go.", show_default=False, parser=location_of)
    ],
    start: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="Where in each video to start.")] = 0.0,
    end: Annotated[float | None, typer.Option(min=0.0, metavar="SECONDS", help="Where in each video to stop.")] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.001, metavar="N", help="Frames per second, at most.  [default: all]")
    ] = None,
    blur: Annotated[bool, typer.Option("--blur", help="Make every face unrecognizable.")] = False,
    moments: Annotated[
        bool, typer.Option("--moments", help="Write one sheet of the strongest moments instead.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(metavar="ROOT", help="Folder in which the media lie now.", show_default=False, parser=location_of),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Only errors.")] = False,
) -> None:
    """Draw boxes, expressions and measures of the run in DIR into its videos and images. Pictures are written only
    here; the tables hold none."""
    with endings():
        from fer_batch.cli.tables import parts_of, summarized_parts_of
        from fer_batch.log import set_up_logging
        from fer_batch.pipeline.resolve import find_out
        from fer_batch.preview.options import DrawOptions
        from fer_batch.preview.previews import preview as draw_previews
        from fer_batch.preview.previews import preview_moments
        from fer_batch.tables.lock import lock_folder

        set_up_logging(quiet, False, None)
        (summarized_parts_of if moments else parts_of)(directory)
        folder, moved_to = find_out(str(out)), None if source is None else str(source)
        options = DrawOptions(start, end, fps, blur)
        _check(directory, folder, moved_to, start, end, fps, moments)
        with lock_folder(folder):
            if moments:
                all_done = preview_moments(directory, folder, media or (), blur, moved_to)
            else:
                all_done = draw_previews(directory, folder, media or (), options, moved_to, progress=not quiet)
    raise typer.Exit(EXIT_DONE if all_done else EXIT_SOME_FAILED)


def _check(
    directory: Path, folder: Path, source: str | None, start: float, end: float | None, fps: float | None, moments: bool
) -> None:
    """Raise UsageError where the options don't fit, or the folder lies among what runs read: the next one would take
    previews for media."""
    from fer_batch.errors import UsageError
    from fer_batch.pipeline.discover import outside
    from fer_batch.tables.run_file import read_run_file

    for name, value in (("--start", start), ("--end", end), ("--fps", fps)):
        if value is not None and not isfinite(value):
            raise UsageError(f"{name} {value:g}: must be a finite number")
    if end is not None and end <= start:
        raise UsageError(f"--end {end:g}: must be above --start {start:g}")
    if moments and (start or end is not None or fps is not None):
        raise UsageError("--moments shows single frames; leave --start, --end and --fps out")
    inputs = read_run_file(directory).get("configuration", {}).get("inputs", [])
    if not outside(folder, [str(directory)]):
        raise UsageError(f"--out {folder}: lies in the results in {directory}; choose a folder outside")
    for given in [*inputs, *([] if source is None else [source])]:
        if not outside(folder, [given]):
            raise UsageError(f"--out {folder}: lies in {given}, where a run would read it; choose a folder outside")
