"""Reads the tables of an output folder batch by batch. Limits keep the page small; the page says what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fer_batch.report.series import Series, from_frames, from_windows
from fer_batch.tables.layout import SUMMARY_FOLDER
from fer_batch.tables.parquet import read_batches
from fer_batch.tables.parts import committed_parts

#: Videos with charts, images in their table, files in each table of failures.
MAX_VIDEOS, MAX_IMAGES, MAX_FAILURES = 1000, 200, 500
#: Points of all charts together, about 8 MB of the page, and of one video's.
MAX_POINTS, MAX_VIDEO_POINTS, MIN_VIDEO_POINTS = 50_000, 400, 20
#: A video with fewer windows is drawn frame by frame, if it has few frames.
MIN_WINDOWS = 12
CHARTED = ("valence", "engagement", "face_presence", "faces_per_frame")

Row = dict[str, Any]


@dataclass
class Files:
    """The media table. Files by status and by type; the first of those that failed or were kept in part, and their
    number by error code; duration of each video in seconds."""

    status: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    failed: list[Row] = field(default_factory=list)
    partial: list[Row] = field(default_factory=list)
    failed_codes: Counter[str] = field(default_factory=Counter)
    partial_codes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Measured:
    """Rows of by_media: at most `MAX_VIDEOS` videos, those with most faces; the first images; the number of each."""

    videos: list[Row] = field(default_factory=list)
    images: list[Row] = field(default_factory=list)
    video_count: int = 0
    image_count: int = 0


def summary(out: Path, name: str) -> Path:
    """The path of a summary."""
    return out / SUMMARY_FOLDER / f"{name}.parquet"


def read_files(out: Path) -> Files:
    """Read the media table."""
    columns = ["media_path", "media_type", "status", "error_code", "error_message", "duration_s"]
    files = Files()
    for batch in _parts(out, "media", columns):
        files.status.update(batch["status"].to_pylist())
        files.types.update(batch["media_type"].to_pylist())
        videos = batch.filter(pc.equal(batch["media_type"].cast(pa.string()), "video"))
        known = videos.filter(pc.is_valid(videos["duration_s"]))
        files.seconds |= dict(zip(known["media_path"].to_pylist(), known["duration_s"].to_pylist(), strict=True))
        for row in batch.filter(pc.is_valid(batch["error_code"])).to_pylist():
            failed = row["status"] == "failed"
            (files.failed_codes if failed else files.partial_codes)[row["error_code"]] += 1
            rows = files.failed if failed else files.partial
            if len(rows) < MAX_FAILURES:
                rows.append(row)
    return files


def read_measured(out: Path) -> Measured:
    """Read by_media, sorted by path."""
    measured = Measured()
    for batch in read_batches(summary(out, "by_media")):
        are_videos = pc.equal(batch["media_type"].cast(pa.string()), "video")
        videos, images = batch.filter(are_videos), batch.filter(pc.invert(are_videos))
        measured.video_count += len(videos)
        measured.image_count += len(images)
        measured.videos += videos.to_pylist()
        measured.images += images.slice(0, MAX_IMAGES - len(measured.images)).to_pylist()
        if len(measured.videos) > MAX_VIDEOS:
            fullest = sorted(measured.videos, key=lambda row: (-row["frames_with_faces"], row["media_path"]))
            measured.videos = sorted(fullest[:MAX_VIDEOS], key=lambda row: str(row["media_path"]))
    return measured


def read_overall(out: Path) -> Row:
    """Read the row of overall."""
    return next((row for batch in read_batches(summary(out, "overall")) for row in batch.to_pylist()), {})


def read_moments(out: Path) -> list[Row]:
    """Read moments."""
    return [row for batch in read_batches(summary(out, "moments")) for row in batch.to_pylist()]


def count_tracks(out: Path) -> Counter[str]:
    """The number of face tracks of each video."""
    tracks = Counter[str]()
    for batch in read_batches(summary(out, "by_track"), ["media_path"]):
        tracks.update(batch["media_path"].to_pylist())
    return tracks


def max_faces(out: Path) -> int:
    """The largest number of faces in one frame."""
    counts = (pc.max(batch["face_count"]).as_py() for batch in _parts(out, "frames", ["face_count"]))
    return max((count for count in counts if count is not None), default=0)


def read_series(out: Path, videos: Sequence[Row], labels: Sequence[str]) -> dict[str, Series]:
    """The series of each video's charts, by path: its windows, or its frames if it has few of both."""
    names = (*labels, *CHARTED)
    points = max(MIN_VIDEO_POINTS, min(MAX_VIDEO_POINTS, MAX_POINTS // max(1, len(videos))))
    series, short = {}, set()
    frames = {row["media_path"]: row["frames"] for row in videos}
    for path, windows in _by_path(_windows(out, frames, names)):
        if len(windows) < MIN_WINDOWS and frames[path] <= points:
            short.add(path)
        else:
            series[path] = from_windows(windows, names, points)
    columns = ["media_path", "sample_index", "timestamp_s", "face_count", *labels, *CHARTED]
    chosen = pa.array(sorted(short), pa.string())
    for batch in _parts(out, "frames", columns) if short else ():
        rows_of_short = batch.filter(pc.is_in(batch["media_path"], value_set=chosen)).to_pandas()
        for path, rows in rows_of_short.groupby("media_path", sort=False):  # A file's rows lie in one part, in order.
            series[str(path)] = from_frames(rows, names)
    return series


def _windows(out: Path, wanted: dict[str, int], names: Sequence[str]) -> Iterator[pd.DataFrame]:
    columns = ["media_path", "window_index", "start_s", "end_s", "frames", "frames_with_faces"]
    columns += [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    chosen = pa.array(sorted(wanted), pa.string())
    for batch in read_batches(summary(out, "timeline"), columns):
        yield batch.filter(pc.is_in(batch["media_path"], value_set=chosen)).to_pandas()


def _by_path(tables: Iterator[pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each file, from tables sorted by file whose borders may lie within a file."""
    waiting: list[pd.DataFrame] = []
    for table in tables:
        for path, rows in table.groupby("media_path", sort=False):
            if waiting and waiting[0]["media_path"].iloc[0] != path:
                yield str(waiting[0]["media_path"].iloc[0]), pd.concat(waiting)
                waiting = []
            waiting.append(rows)
    if waiting:
        yield str(waiting[0]["media_path"].iloc[0]), pd.concat(waiting)


def _parts(out: Path, table: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    for name in committed_parts(out):
        yield from read_batches(out / table / name, columns)
