"""Writes report.html: the whole run on one offline page, from the tables, the summaries and run.json."""

from __future__ import annotations

import math
from pathlib import Path

from fer_batch.analysis.studies.folder import has_study
from fer_batch.atomic import write_atomic
from fer_batch.emotions import EMOTIONS
from fer_batch.report import loader
from fer_batch.report.audience.loader import read_study
from fer_batch.report.audience.page import Audience
from fer_batch.report.highlights import Answer, answers, clear_moments
from fer_batch.report.page import Page, Video
from fer_batch.report.template import render
from fer_batch.tables.layout import REPORT_FILE
from fer_batch.tables.parts import committed_parts
from fer_batch.tables.run_file import read_run_file


def report(out: Path) -> None:
    """Write report.html into an output folder.

    Raises:
        FileNotFoundError: The folder has no tables, or no summaries.
    """
    for exists, what in (
        (bool(committed_parts(out)), "tables of a run"),
        (loader.summary(out, "overall").is_file(), "summaries; `fer-batch summarize` makes them"),
    ):
        if not exists:
            raise FileNotFoundError(f"{out}: holds no {what}")
    text = render(gather(out))
    # A file name in run.json may hold bytes that are not UTF-8.
    write_atomic(out / REPORT_FILE, lambda temporary: temporary.write_bytes(text.encode("utf-8", "backslashreplace")))


def has_report(out: Path) -> bool:
    """Whether the folder has a report."""
    return (out / REPORT_FILE).is_file()


def remove(out: Path) -> None:
    """Remove an earlier report."""
    (out / REPORT_FILE).unlink(missing_ok=True)


def gather(out: Path) -> Page:
    """Read everything that the page shows."""
    overall, files, measured = loader.read_overall(out), loader.read_files(out), loader.read_measured(out)
    labels = tuple(name for name in EMOTIONS if name in overall)
    rows = {row["media_path"]: row for row in measured.videos}
    moments = clear_moments(loader.read_moments(out), overall, rows)
    series, tracks = loader.read_series(out, measured.videos, labels), loader.count_tracks(out)
    videos = [
        Video(
            path := row["media_path"],
            row,
            files.seconds.get(path, math.nan),
            tracks[path],
            series[path],
            [moment for moment in moments if moment.path == path],
        )
        for row in measured.videos
    ]
    audience = Audience(read_study(out)) if has_study(out) else None
    found: list[Answer] = answers(overall, moments, measured.videos, files.status, loader.max_faces(out))
    return Page(read_run_file(out), overall, labels, files, measured, videos, moments, tracks.total(), found, audience)
