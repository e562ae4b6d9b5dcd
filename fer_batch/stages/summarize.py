"""Aggregate the tables of an output folder into summary/, from the Parquet files alone.

All groups of a summary are worked out at once, as runs of rows in sorted columns: a night's footage has hundreds of
thousands of windows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS
from fer_batch.engagement import FACE_MEASURES, MEASURES, RANGES, face_attention, face_engagement
from fer_batch.files import write_whole
from fer_batch.intervals import LEAST, Means, pooled, series_means
from fer_batch.tables import committed_parts, read_schema, read_table, write_table

SUMMARY_FOLDER = "summary"
NAMES = ("overall", "by_media", "timeline", "by_track", "moments")
SUMMARY_FILES = tuple(f"{name}.{kind}" for name in NAMES for kind in ("parquet", "csv"))
_MEDIA = ["media_path", "media_type"]
#: How a formula begins, also in the full-width forms that spreadsheets accept, and what they pass over before it.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # A line feed is quoted, and stays.


def summarize(out: Path, window: float) -> None:
    """Write the tables of `NAMES` into summary/, as .parquet and .csv. `window`: seconds of a timeline row.

    Means are over frames with faces; `face_presence` is over all sampled frames; all have 95 % intervals. Raises
    FileNotFoundError where the folder has no tables.
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

    # Columns of numbers as they are: as objects, cell by cell, they would take several times the memory.
    return table.assign(**{str(name): table[name].map(harmless) for name in table.select_dtypes(exclude="number")})


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
        "faces": [*_MEDIA, "sample_index", "timestamp_s", "face_index", "track_id", *labels, "emotion", *FACE_MEASURES],
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
    """The summary tables by name; see `summarize`. Frames and faces come sorted by file and time."""
    by_media = _Groups(frames, faces, ["media_path"], labels)
    windows = _Groups(_windowed(frames, window), _windowed(faces, window), ["media_path", "window_index"], labels)
    spans = {
        "start_s": windows.keys["window_index"] * window,
        "end_s": windows.keys["window_index"] * window + window,
    }
    timeline = pa.Table.from_pydict({**windows.keys, **spans, **windows.columns()}, _schema(labels, _WINDOW_KEYS))
    counts = {f"media_{status}": [int((media["status"] == status).sum())] for status in ("done", "failed")}
    return {
        "overall": pa.Table.from_pydict({**counts, **by_media.overall()}, _schema(labels, _COUNTS)),
        "by_media": pa.Table.from_pydict({**by_media.keys, **by_media.columns()}, _schema(labels, _MEDIA_KEYS)),
        "timeline": timeline,
        "by_track": by_track(frames, faces, labels),
        "moments": moments(timeline, [*labels, *MEASURES]),
    }


def _windowed(table: pd.DataFrame, window: float) -> pd.DataFrame:
    """The rows of videos with their window, sorted by it: time stamps may jump back."""
    videos = table[table["media_type"] == "video"]
    # Rounded first: 0.6 / 0.2 is 2.9999… in binary, but belongs to the window that begins there.
    index = np.floor((videos["timestamp_s"].astype(float) / window).round(6)).astype("int64")
    return videos.assign(window_index=index).sort_values(["media_path", "window_index", "sample_index"])


class _Groups:
    """Frames and their faces, group by group."""

    def __init__(self, frames: pd.DataFrame, faces: pd.DataFrame, keys: list[str], labels: tuple[str, ...]) -> None:
        """`frames` is sorted so that those of one group stand together, in the order of time."""
        self._frames, self._labels = frames, labels
        codes = frames.groupby(keys, sort=False).ngroup().to_numpy(np.int64)
        self._starts = np.flatnonzero(np.diff(codes, prepend=-1))
        first = frames.iloc[self._starts]
        #: The columns that tell the groups apart, a row for each group.
        self.keys = {key: first[key].to_numpy() for key in ("media_path", "media_type", *keys[1:])}
        counts = faces.groupby([*keys, "emotion"], observed=True).size().unstack(fill_value=0)
        #: How many faces of each group have each emotion as the most probable one, (groups, labels).
        self._emotions = counts.reindex(index=first.set_index(keys).index, columns=list(labels), fill_value=0).to_numpy(
            np.int64
        )

    @cached_property
    def _means(self) -> dict[str, Means]:
        faces_in = self._frames["face_count"].to_numpy(float)
        seen = faces_in > 0
        series = {"face_presence": seen.astype(float), "faces_per_frame": np.where(seen, faces_in, np.nan)}
        for name in (*self._labels, *MEASURES):
            series[name] = np.where(seen, self._frames[name].astype(float), np.nan)
        return {name: series_means(values, self._starts) for name, values in series.items()}

    def columns(self) -> dict[str, Any]:
        """The figures of every group."""
        lengths = np.diff(np.append(self._starts, len(self._frames)))
        return self._figures(lengths, self._means, self._emotions)

    def overall(self) -> dict[str, Any]:
        """The figures of all groups together, as one row; pictures and the shortest clips are draws of their own."""
        means = {name: pooled(each, each.n < LEAST) for name, each in self._means.items()}
        return self._figures(np.array([len(self._frames)]), means, self._emotions.sum(axis=0, keepdims=True))

    def _figures(
        self, lengths: NDArray[np.int64], means: dict[str, Means], emotions: NDArray[np.int64]
    ) -> dict[str, Any]:
        faces = emotions.sum(axis=1)
        columns: dict[str, Any] = {"frames": lengths, "frames_with_faces": means["faces_per_frame"].n.astype(np.int64)}
        columns["faces"] = faces
        for name, each in means.items():
            low, high = each.bounds(*RANGES.get(name, (0.0, 1.0)))
            columns |= {name: _nullable(each.mean), f"{name}_low": _nullable(low), f"{name}_high": _nullable(high)}
        with np.errstate(invalid="ignore"):
            shares = emotions / np.where(faces > 0, faces, np.nan)[:, None]
        for column, label in enumerate(self._labels):
            columns[f"share_{label}"] = _nullable(shares[:, column])
            columns[f"adjusted_share_{label}"] = pa.nulls(len(faces), pa.float64())
        return columns


def by_track(frames: pd.DataFrame, faces: pd.DataFrame, labels: tuple[str, ...]) -> pa.Table:
    """A row for each face that was followed: when it was first and last seen, in how many frames, for how long, and its
    means. `seconds_seen`: its frames times the usual time between two samples of the video."""
    keys = ["media_path", "track_id"]
    followed = faces.dropna(subset="track_id")
    values = followed[[*keys, "timestamp_s", *labels, *FACE_MEASURES]].assign(
        attention=face_attention(followed), engagement=face_engagement(followed)
    )
    groups = values.groupby(keys)
    rows = groups[[*labels, *MEASURES]].mean()
    rows.insert(0, "first_s", groups["timestamp_s"].min())
    rows.insert(1, "last_s", groups["timestamp_s"].max())
    rows.insert(2, "frames", groups.size())
    rows = rows.reset_index()
    interval = frames.groupby("media_path")["timestamp_s"].agg(lambda times: times.sort_values().diff().median())
    seconds = rows["frames"] * rows["media_path"].map(interval).astype(float)
    rows.insert(4, "seconds_seen", seconds.fillna(0.0))  # Of a video with one sample nothing is known.
    means = [(name, pa.float64()) for name in (*labels, *MEASURES)]
    return pa.Table.from_pandas(rows, pa.schema(_TRACK_KEYS + means), preserve_index=False)


def moments(timeline: pa.Table, names: Sequence[str]) -> pa.Table:
    """The windows in which each measure and emotion was strongest over all videos, ranked from 1.

    The strongest window is the one of which it is surest: ranked by the lower end of the interval, then by the value;
    windows without an interval come last. The lowest valence is ranked as well, by the upper end (`direction` low).
    """
    windows = timeline.to_pandas()
    ranked = []
    for name, direction in [*((name, "high") for name in names), ("valence", "low")]:
        sign = 1 if direction == "high" else -1
        sure = windows[f"{name}_low" if direction == "high" else f"{name}_high"] * sign
        order = windows.assign(sure=sure, value=windows[name] * sign).dropna(subset="value")
        order = order.sort_values(["sure", "value", "media_path", "window_index"], ascending=[False, False, True, True])
        best = order.head(MOMENTS)
        rows = best[["media_path", "media_type", "window_index", "start_s", "end_s", "frames_with_faces"]]
        ends = {f"value{end}": best[f"{name}{end}"] for end in ("_low", "_high")}
        rank = np.arange(1, len(best) + 1)
        ranked.append(rows.assign(measure=name, direction=direction, rank=rank, value=best[name], **ends))
    return pa.Table.from_pandas(pd.concat(ranked), _MOMENTS_SCHEMA, preserve_index=False)


#: How many windows of each measure `moments` holds.
MOMENTS = 20
_MEDIA_KEYS = [("media_path", pa.string()), ("media_type", pa.string())]
_SPAN = [("window_index", pa.int64()), ("start_s", pa.float64()), ("end_s", pa.float64())]
_WINDOW_KEYS = _MEDIA_KEYS + _SPAN
_TRACK_KEYS = [("media_path", pa.string()), ("track_id", pa.int32())]
_TRACK_KEYS += [(name, pa.float64()) for name in ("first_s", "last_s", "seconds_seen")] + [("frames", pa.int64())]
_COUNTS = [("media_done", pa.int64()), ("media_failed", pa.int64())]
_VALUE = [(f"value{end}", pa.float64()) for end in ("", "_low", "_high")]
_RANK = [("measure", pa.string()), ("direction", pa.string()), ("rank", pa.int32())]
_MOMENTS_SCHEMA = pa.schema([*_RANK, *_WINDOW_KEYS, *_VALUE, ("frames_with_faces", pa.int64())])


def _schema(labels: Sequence[str], keys: list[tuple[str, pa.DataType]]) -> pa.Schema:
    """The columns all summaries share, behind their keys. Corrected shares are filled by a later version."""
    columns = [(name, pa.int64()) for name in ("frames", "frames_with_faces", "faces")]
    for name in ("face_presence", "faces_per_frame", *labels, *MEASURES):
        columns += [(name, pa.float64()), (f"{name}_low", pa.float64()), (f"{name}_high", pa.float64())]
    columns += [(f"share_{label}", pa.float64()) for label in labels]
    return pa.schema(keys + columns + [(f"adjusted_share_{label}", pa.float64()) for label in labels])


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)
