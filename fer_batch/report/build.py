"""report.html: the whole run on one page that needs no network, from the tables, the summaries and run.json alone."""

from __future__ import annotations

import math
from pathlib import Path

from fer_batch.atomic import write_whole
from fer_batch.emotions import EMOTIONS
from fer_batch.report import loader
from fer_batch.report.highlights import Answer, answers, clear_moments
from fer_batch.report.page import Page, Video, render
from fer_batch.tables.layout import REPORT_FILE
from fer_batch.tables.parts import committed_parts
from fer_batch.tables.run_file import read_run_file


def report(out: Path) -> None:
    """Write report.html. Raises FileNotFoundError where the folder has no tables, or no summaries of them."""
    for there, what in (
        (bool(committed_parts(out)), "tables of a run"),
        (loader.summary(out, "overall").is_file(), "summaries; `fer-batch summarize` makes them"),
    ):
        if not there:
            raise FileNotFoundError(f"{out}: holds no {what}")
    text = render(gather(out))
    # A name in run.json may hold bytes that are no UTF-8.
    write_whole(out / REPORT_FILE, lambda aside: aside.write_bytes(text.encode("utf-8", "backslashreplace")))


def has_report(out: Path) -> bool:
    """Whether there is a report."""
    return (out / REPORT_FILE).is_file()


def remove(out: Path) -> None:
    """Take an earlier report away."""
    (out / REPORT_FILE).unlink(missing_ok=True)


def gather(out: Path) -> Page:
    """All that the page shows."""
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
            [one for one in moments if one.path == path],
        )
        for row in measured.videos
    ]
    replies: list[Answer] = answers(overall, moments, measured.videos, files.status, loader.most_faces(out))
    return Page(read_run_file(out), overall, labels, files, measured, videos, moments, tracks.total(), replies)
