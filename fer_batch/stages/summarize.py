"""Aggregate the tables of an output folder into summary/, from the Parquet files alone.

Part by part: all rows of a file are in one part, so memory is bounded by the largest part, however many there are. All
groups of a part are worked out at once, as runs of rows in sorted columns: a night's footage has hundreds of thousands
of windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS
from fer_batch.engagement import FACE_MEASURES, MEASURES, RANGES, face_attention, face_engagement
from fer_batch.files import write_whole
from fer_batch.intervals import Means, pooled, series_means, together
from fer_batch.shares import METADATA_KEY, FaceCells, ShareCorrection, adjusted_shares, read_correction
from fer_batch.tables import SUMMARY_FOLDER, committed_parts, read_schema, read_table, write_table

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
    names = committed_parts(out)
    if not names:
        raise FileNotFoundError(f"{out}: holds no tables of a run")
    metadata = [read_schema(out / "frames" / name) for name in names]
    labels = table_labels(out, names)
    corrections = [m.metadata[METADATA_KEY] for m in metadata if METADATA_KEY in (m.metadata or {})]
    correction = read_correction(corrections[-1]) if corrections else None
    parts = (read_part(out, name, labels) for name in names)
    for name, table in summary_tables(parts, labels, window, correction).items():
        write_table(out / SUMMARY_FOLDER / f"{name}.parquet", table)
        write_whole(out / SUMMARY_FOLDER / f"{name}.csv", partial(_write_csv, harmless_in_spreadsheets(table)))


def table_labels(out: Path, parts: Sequence[str]) -> tuple[str, ...]:
    """The emotions that the tables have columns for."""
    names = read_schema(out / "frames" / parts[0]).names
    return tuple(label for label in EMOTIONS if label in names)


def _write_csv(table: pa.Table, path: Path) -> None:
    with path.open("wb") as stream:  # Arrow itself can't open names that are no UTF-8.
        header = ",".join(table.column_names)  # Arrow would put every name between quotes.
        stream.write(f"{header}\n".encode())
        pa_csv.write_csv(table, stream, pa_csv.WriteOptions(include_header=False))


def harmless_in_spreadsheets(table: pa.Table) -> pa.Table:
    """The table with an apostrophe before every text that a spreadsheet would take for a formula, and with escapes for
    control characters, of which a carriage return would begin a row of its own.

    A file may be called `=HYPERLINK(...)`. The signs are those of OWASP's page on CSV injection.
    """

    def harmless(value: str) -> str:
        text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), value)
        return f"'{text}" if _FORMULA.match(value) else text

    for index, column in enumerate(table.schema):
        if pa.types.is_string(column.type):
            texts = table[column.name].combine_chunks().dictionary_encode()
            told = pa.array([harmless(text) for text in texts.dictionary.to_pylist()], pa.string())
            table = table.set_column(index, column.name, told.take(texts.indices))
    return table


def has_summaries(out: Path) -> bool:
    """Whether all summary files are there."""
    return all((out / SUMMARY_FOLDER / name).is_file() for name in SUMMARY_FILES)


def read_part(out: Path, name: str, labels: tuple[str, ...]) -> Part:
    """The columns of one part that summaries need."""
    keys = [*_MEDIA, "sample_index", "timestamp_s"]
    columns = {
        "media": ["media_path", "status"],
        "frames": [*keys, "face_count", *labels, *MEASURES],
        "faces": [*keys, "face_index", "track_id", *labels, "emotion", *FACE_MEASURES],
    }
    media, frames, faces = (
        _categorical(read_table(out / table / name, columns[table])).to_pandas() for table in columns
    )
    # Rows come as they were written; sums of floats must not depend on it.
    frames = frames.sort_values(["media_path", "sample_index"], ignore_index=True)
    return Part(media, frames, faces.sort_values(["media_path", "sample_index", "face_index"], ignore_index=True))


def _categorical(table: pa.Table) -> pa.Table:
    """Paths as numbers in their order: texts would be compared millions of times."""
    paths = table["media_path"].combine_chunks().dictionary_encode()
    order = pc.array_sort_indices(paths.dictionary)
    rank = pc.array_sort_indices(order)  # The inverse of a permutation.
    codes = rank.take(paths.indices).cast(pa.int32())
    ordered = pa.DictionaryArray.from_arrays(codes, paths.dictionary.take(order), ordered=True)
    return table.set_column(table.column_names.index("media_path"), "media_path", ordered)


@dataclass(frozen=True)
class Part:
    """Some files' rows of the three tables, sorted by file and time."""

    media: pd.DataFrame
    frames: pd.DataFrame
    faces: pd.DataFrame


def summary_tables(
    parts: Iterable[Part], labels: tuple[str, ...], window: float, correction: ShareCorrection | None = None
) -> dict[str, pa.Table]:
    """The summary tables by name; see `summarize`. `correction`: None leaves corrected shares unknown."""
    media = _Overall(labels, correction)
    tables: dict[str, list[pa.Table]] = {"by_media": [], "timeline": [], "by_track": []}
    for part in parts:
        files = _Groups(part.frames, part.faces, ["media_path"], labels, correction)
        media.add(part, files)
        tables["by_media"].append(files.table(_MEDIA_KEYS, {}))
        windows = _Groups(
            _windowed(part.frames, window),
            _windowed(part.faces, window),
            ["media_path", "window_index"],
            labels,
            correction,
        )
        start = windows.keys["window_index"] * window
        tables["timeline"].append(windows.table(_WINDOW_KEYS, {"start_s": start, "end_s": start + window}))
        tables["by_track"].append(by_track(part.frames, part.faces, labels))
    sorting = {"by_media": "media_path", "timeline": "window_index", "by_track": "track_id"}
    whole = {
        name: pa.concat_tables(tables[name]).sort_by(
            [(key, "ascending") for key in dict.fromkeys(["media_path", then])]
        )
        for name, then in sorting.items()
    }
    return {"overall": media.table(), **whole, "moments": moments(whole["timeline"], [*labels, *MEASURES])}


def _windowed(table: pd.DataFrame, window: float) -> pd.DataFrame:
    """The rows of videos with their window, sorted by it: time stamps may jump back."""
    videos = table[table["media_type"] == "video"]
    # Rounded first: 0.6 / 0.2 is 2.9999… in binary, but belongs to the window that begins there.
    index = np.floor((videos["timestamp_s"].astype(float) / window).round(6)).astype("int64")
    return videos.assign(window_index=index).sort_values(["media_path", "window_index"], kind="stable")


class _Groups:
    """Frames and their faces, group by group."""

    def __init__(
        self,
        frames: pd.DataFrame,
        faces: pd.DataFrame,
        keys: list[str],
        labels: tuple[str, ...],
        correction: ShareCorrection | None,
    ) -> None:
        """Both are sorted so that rows of one group stand together, frames in the order of time. Every face has its
        frame."""
        self._frames, self._faces, self._labels, self._correction = frames, faces, labels, correction
        every = pd.concat([frames[keys], faces[keys]], ignore_index=True)
        codes = every.groupby(keys, sort=False, observed=True).ngroup().to_numpy(np.int64)
        mine, self._face_groups = codes[: len(frames)], codes[len(frames) :]
        self._starts = np.flatnonzero(np.diff(mine, prepend=-1))
        first = frames.iloc[self._starts]
        self._files = pd.factorize(first["media_path"])[0]  # Windows of a file share their correlation.
        #: The columns that tell the groups apart, a row for each group.
        self.keys = {key: first[key].to_numpy() for key in ("media_path", "media_type", *keys[1:])}

    @cached_property
    def emotions(self) -> NDArray[np.int64]:
        """How many faces of each group have each emotion as the most probable one, (groups, labels)."""
        groups, labels = len(self._starts), len(self._labels)
        codes = pd.Index(self._labels).get_indexer(pd.Index(self._faces["emotion"]))
        return np.bincount(self._face_groups * labels + codes, minlength=groups * labels).reshape(groups, labels)

    @cached_property
    def posteriors(self) -> NDArray[np.float64] | None:
        """See `ShareCorrection`, (faces, labels); None without one."""
        if self._correction is None:
            return None
        return self._correction.posteriors(self._faces[list(self._labels)].to_numpy())

    @cached_property
    def means(self) -> dict[str, Means]:
        """The means of every group, by measure."""
        faces_in = self._frames["face_count"].to_numpy(float)
        seen = faces_in > 0
        series = {"face_presence": seen.astype(float), "faces_per_frame": np.where(seen, faces_in, np.nan)}
        for name in (*self._labels, *MEASURES):
            series[name] = np.where(seen, self._frames[name].astype(float), np.nan)
        return {name: series_means(values, self._starts, self._files) for name, values in series.items()}

    def table(self, keys: list[tuple[str, pa.DataType]], more: dict[str, Any]) -> pa.Table:
        """The figures of every group, behind its keys and `more` of them."""
        lengths = np.diff(np.append(self._starts, len(self._frames)))
        adjusted = np.full(self.emotions.shape, np.nan)
        if self.posteriors is not None and self._correction is not None:
            begin = np.searchsorted(self._face_groups, np.arange(len(self._starts)))
            adjusted = adjusted_shares(self.posteriors, begin, self._correction)
        columns = _figures(lengths, self.means, self.emotions, adjusted)
        return pa.Table.from_pydict({**self.keys, **more, **columns}, _schema(self._labels, keys))


class _Overall:
    """The figures of all files together."""

    def __init__(self, labels: tuple[str, ...], correction: ShareCorrection | None) -> None:
        self._labels, self._correction, self._cells = labels, correction, FaceCells(len(labels))
        self._paths: list[NDArray[Any]] = []
        self._means: list[dict[str, Means]] = []
        self._emotions = np.zeros((1, len(labels)), np.int64)
        self._counts = {"frames": 0, "media_done": 0, "media_failed": 0}

    def add(self, part: Part, files: _Groups) -> None:
        """Take in a part, with its files as groups."""
        self._paths.append(np.asarray(files.keys["media_path"], object))
        self._means.append(files.means)
        self._emotions += files.emotions.sum(axis=0, keepdims=True)
        if files.posteriors is not None:
            self._cells.add(files.posteriors)
        self._counts["frames"] += len(part.frames)
        for status in ("done", "failed"):
            self._counts[f"media_{status}"] += int((part.media["status"] == status).sum())

    def table(self) -> pa.Table:
        """One row; pictures and the shortest clips are draws of their own."""
        order = np.argsort(np.concatenate(self._paths), kind="stable")  # Sums must not depend on the order of parts.
        means = {name: pooled(together([m[name] for m in self._means], order)) for name in self._means[0]}
        adjusted = np.full(self._emotions.shape, np.nan)
        if self._correction is not None:
            adjusted = self._cells.adjusted_shares(self._correction)
        frames = self._counts.pop("frames")
        figures = _figures(np.array([frames]), means, self._emotions, adjusted)
        counts = {name: [value] for name, value in self._counts.items()}
        return pa.Table.from_pydict({**counts, **figures}, _schema(self._labels, _COUNTS))


def _figures(
    lengths: NDArray[np.int64], means: dict[str, Means], emotions: NDArray[np.int64], adjusted: NDArray[np.float64]
) -> dict[str, Any]:
    """The columns that all summaries share. Of groups: `lengths` in frames, faces by most probable emotion, and the
    corrected shares, (groups, labels)."""
    faces = emotions.sum(axis=1)
    columns: dict[str, Any] = {"frames": lengths, "frames_with_faces": means["faces_per_frame"].n.astype(np.int64)}
    columns["faces"] = faces
    for name, each in means.items():
        low, high = each.bounds(*RANGES.get(name, (0.0, 1.0)))
        columns |= {name: _nullable(each.mean), f"{name}_low": _nullable(low), f"{name}_high": _nullable(high)}
    with np.errstate(invalid="ignore"):
        shares = emotions / np.where(faces > 0, faces, np.nan)[:, None]
    labels = [name for name in means if name not in (*MEASURES, "face_presence", "faces_per_frame")]
    for column, label in enumerate(labels):
        columns[f"share_{label}"] = _nullable(shares[:, column])
        columns[f"adjusted_share_{label}"] = _nullable(adjusted[:, column])
    return columns


def by_track(frames: pd.DataFrame, faces: pd.DataFrame, labels: tuple[str, ...]) -> pa.Table:
    """A row for each face that was followed: when it was first and last seen, in how many frames, for how long, and its
    means. `seconds_seen`: its frames times the usual time between two samples of the video."""
    keys = ["media_path", "track_id"]
    followed = faces.dropna(subset="track_id")
    values = followed[[*keys, "timestamp_s", *labels, *FACE_MEASURES]].assign(
        attention=face_attention(followed), engagement=face_engagement(followed)
    )
    groups = values.groupby(keys, observed=True)
    rows = groups[[*labels, *MEASURES]].mean()
    rows.insert(0, "first_s", groups["timestamp_s"].min())
    rows.insert(1, "last_s", groups["timestamp_s"].max())
    rows.insert(2, "frames", groups.size())
    rows = rows.reset_index()
    interval = frames.groupby("media_path", observed=True)["timestamp_s"].agg(
        lambda times: times.sort_values().diff().median()
    )
    seconds = rows["frames"] * rows["media_path"].astype(object).map(interval).astype(float)
    rows.insert(4, "seconds_seen", seconds.fillna(0.0))  # Of a video with one sample nothing is known.
    means = [(name, pa.float64()) for name in (*labels, *MEASURES)]
    return pa.Table.from_pandas(rows, pa.schema(_TRACK_KEYS + means), preserve_index=False)


def moments(timeline: pa.Table, names: Sequence[str]) -> pa.Table:
    """The windows in which each measure and emotion was strongest over all videos, ranked from 1.

    The strongest window is the one of which it is surest: ranked by the lower end of the interval (unknown: the whole
    range), then by the value. The lowest valence is ranked as well, by the upper end (`direction` low).
    """
    windows = timeline.select([name for name in timeline.column_names if "share_" not in name]).to_pandas()
    ranked = []
    for name, direction in [*((name, "high") for name in names), ("valence", "low")]:
        sign = 1 if direction == "high" else -1
        end, farthest = ("_low", min) if direction == "high" else ("_high", max)
        sure = windows[f"{name}{end}"].fillna(farthest(RANGES.get(name, (0.0, 1.0)))) * sign
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
    """The columns all summaries share, behind their keys."""
    columns = [(name, pa.int64()) for name in ("frames", "frames_with_faces", "faces")]
    for name in ("face_presence", "faces_per_frame", *labels, *MEASURES):
        columns += [(name, pa.float64()), (f"{name}_low", pa.float64()), (f"{name}_high", pa.float64())]
    columns += [(f"share_{label}", pa.float64()) for label in labels]
    return pa.schema(keys + columns + [(f"adjusted_share_{label}", pa.float64()) for label in labels])


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)
