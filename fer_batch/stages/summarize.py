"""Aggregate the tables of an output folder into summary/, from the Parquet files alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fer_batch.emotions import EMOTIONS
from fer_batch.engagement import MEASURES, shares
from fer_batch.files import write_whole
from fer_batch.tables import committed_parts, read_schema, read_table, write_table

SUMMARY_FOLDER = "summary"
SUMMARY_FILES = tuple(f"{name}.{kind}" for name in ("overall", "by_media", "timeline") for kind in ("parquet", "csv"))
_MEDIA = ["media_path", "media_type"]
#: How a formula begins, also in the full-width forms that spreadsheets accept, and what they pass over before it.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # A line feed is quoted, and stays.


def summarize(out: Path, window: float) -> None:
    """Write summary/{overall,by_media,timeline} as .parquet and .csv. `window`: seconds of a timeline row.

    Means are over frames with faces; `face_presence` is over all sampled frames. Raises FileNotFoundError where the
    folder has no tables.
    """
    media, frames, faces, labels = read_tables(out)
    for name, table in summary_tables(media, frames, faces, labels, window).items():
        write_table(out / SUMMARY_FOLDER / f"{name}.parquet", table)
        text = harmless_in_spreadsheets(table.to_pandas())
        write_whole(out / SUMMARY_FOLDER / f"{name}.csv", partial(text.to_csv, index=False))


def harmless_in_spreadsheets(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that a spreadsheet would take for a formula, and with escapes for
    control characters, of which a carriage return would begin a row of its own.

    A file may be called `=HYPERLINK(...)`. The signs are those of OWASP's page on CSV injection.
    """

    def harmless(value: object) -> object:
        if not isinstance(value, str):
            return value
        text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
        return f"'{text}" if _FORMULA.match(value) else text

    return table.map(harmless)


def has_summaries(out: Path) -> bool:
    """Whether all summary files are there."""
    return all((out / SUMMARY_FOLDER / name).is_file() for name in SUMMARY_FILES)


def read_tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """The columns of media, frames and faces that summaries need, and the labels that the tables have."""
    parts = {table: [out / table / name for name in committed_parts(out)] for table in ("media", "frames", "faces")}
    if not parts["media"]:
        raise FileNotFoundError(f"{out}: holds no tables of a run")
    names = read_schema(parts["frames"][0]).names
    labels = tuple(label for label in EMOTIONS if label in names)
    frame_columns = [*_MEDIA, "sample_index", "timestamp_s", "face_count", *labels, *MEASURES]
    columns = {
        "media": ["media_path", "media_type", "status", "duration_s"],
        "frames": frame_columns,
        "faces": ["media_path", "media_type", "sample_index", "timestamp_s", "face_index", "emotion"],
    }
    media, frames, faces = (
        pa.concat_tables(
            [read_table(part, columns[name]) for part in parts[name]]
        ).unify_dictionaries().to_pandas()
        for name in ("media", "frames", "faces")
    )  # fmt: skip
    # Parts come in the order they were finished; sums of floats must not depend on it.
    frames = frames.sort_values(["media_path", "sample_index"], ignore_index=True)
    faces = faces.sort_values(["media_path", "sample_index", "face_index"], ignore_index=True)
    return media.sort_values("media_path", ignore_index=True), frames, faces, labels


def summary_tables(
    media: pd.DataFrame, frames: pd.DataFrame, faces: pd.DataFrame, labels: tuple[str, ...], window: float
) -> dict[str, pa.Table]:
    """The summary tables by name; see `summarize`."""
    overall = {
        "media_done": int((media["status"] == "done").sum()),
        "media_failed": int((media["status"] == "failed").sum()),
        **aggregate(frames, faces, labels),
    }
    by_media = _grouped(frames, faces, labels, _MEDIA)
    videos, video_faces = (table[table["media_type"] == "video"] for table in (frames, faces))
    windowed, windowed_faces = (
        # Rounded first: 0.6 / 0.2 is 2.9999… in binary, but belongs to the window that begins there.
        table.assign(window_index=np.floor((table["timestamp_s"].astype(float) / window).round(6)).astype("int64"))
        for table in (videos, video_faces)
    )
    timeline = _grouped(windowed, windowed_faces, labels, [*_MEDIA, "window_index"])
    for row in timeline:
        row["start_s"] = row["window_index"] * window
        row["end_s"] = row["start_s"] + window
    keys = [("media_path", pa.string()), ("media_type", pa.string())]
    spans = [("window_index", pa.int64()), ("start_s", pa.float64()), ("end_s", pa.float64())]
    counts = [("media_done", pa.int64()), ("media_failed", pa.int64())]
    return {
        "overall": pa.Table.from_pylist([overall], pa.schema(counts + _figures(labels))),
        "by_media": pa.Table.from_pylist(by_media, pa.schema(keys + _figures(labels))),
        "timeline": pa.Table.from_pylist(timeline, pa.schema(keys + spans + _figures(labels))),
    }


def averaged(labels: Sequence[str]) -> list[str]:
    """The columns of frames that are averaged over the frames with faces."""
    return ["faces_per_frame", *labels, *MEASURES]


def aggregate(frames: pd.DataFrame, faces: pd.DataFrame, labels: tuple[str, ...]) -> dict[str, Any]:
    """Counts, presence, means and shares of some frames and their faces. Means without any value are null."""
    seen = frames[frames["face_count"] > 0].rename(columns={"face_count": "faces_per_frame"})
    names = averaged(labels)
    means = seen[names].astype(float).mean()
    row: dict[str, Any] = {
        "frames": len(frames),
        "frames_with_faces": len(seen),
        "faces": len(faces),
        "face_presence": len(seen) / len(frames) if len(frames) else None,
        **{name: _or_none(means[name]) for name in names},
    }
    emotion_shares = shares(faces["emotion"], labels)
    row.update({f"share_{label}": _or_none(share) for label, share in zip(labels, emotion_shares, strict=True)})
    return row


def _grouped(
    frames: pd.DataFrame, faces: pd.DataFrame, labels: tuple[str, ...], keys: list[str]
) -> list[dict[str, Any]]:
    by_key = dict(iter(faces.groupby(keys, observed=True)))
    rows = []
    for key, group in frames.groupby(keys, observed=True):
        row = dict(zip(keys, key, strict=True))
        rows.append(row | aggregate(group, by_key.get(key, faces.iloc[:0]), labels))
    return rows


def _figures(labels: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    """The columns all summaries share. Intervals and corrected shares are filled by a later version."""
    columns = [(name, pa.int64()) for name in ("frames", "frames_with_faces", "faces")]
    for name in ("face_presence", *averaged(labels)):
        columns += [(name, pa.float64()), (f"{name}_low", pa.float64()), (f"{name}_high", pa.float64())]
    columns += [(f"share_{label}", pa.float64()) for label in labels]
    return columns + [(f"adjusted_share_{label}", pa.float64()) for label in labels]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
