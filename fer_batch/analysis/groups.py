"""The summary columns of many groups of frames at once. Groups are runs of rows in sorted columns, because a night's
footage has hundreds of thousands of windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.analysis.intervals import Means, series_means
from fer_batch.analysis.label_shift import adjusted_shares
from fer_batch.measures import MEASURES, RANGES
from fer_batch.share_correction import ShareCorrection

Keys = list[tuple[str, pa.DataType]]

MEDIA_KEYS: Keys = [("media_path", pa.string()), ("media_type", pa.string())]
SPAN: Keys = [("window_index", pa.int64()), ("start_s", pa.float64()), ("end_s", pa.float64())]
_MEANS_FIELDS = [field.name for field in fields(Means) if field.name != "mean"]


def averaged_columns(labels: Sequence[str]) -> list[str]:
    """The columns that summaries average, in their order."""
    return ["face_presence", "faces_per_frame", *labels, *MEASURES]


@dataclass(frozen=True)
class Part:
    """Rows of the three tables for some files, sorted by file and time. Paths are ordered categories."""

    media: pd.DataFrame
    frames: pd.DataFrame
    faces: pd.DataFrame

    def chunks(self, rows: int) -> list[Part]:
        """The part split between files into chunks of about `rows` frames, which bounds the memory of later steps."""
        paths = self.frames["media_path"]
        borders = list(dict.fromkeys(paths.iloc[rows::rows]))
        cuts = []
        for table in (self.media, self.frames, self.faces):
            codes, categories = table["media_path"].cat.codes, table["media_path"].cat.categories
            edges = np.searchsorted(codes, np.searchsorted(categories, borders)).tolist()
            cuts.append([table[start:end] for start, end in pairwise([0, *edges, len(table)])])
        return [Part(*tables) for tables in zip(*cuts, strict=True)]

    @property
    def first(self) -> str:
        """The first of its files."""
        return str(self.media["media_path"].iloc[0])

    def windowed(self, window: float) -> Part:
        """The rows of videos with `window_index`, sorted by it, because time stamps may jump back."""

        def cut(table: pd.DataFrame) -> pd.DataFrame:
            videos = table[table["media_type"] == "video"]
            # Rounded first: 0.6 / 0.2 is 2.9999… in binary, but belongs to the window that begins there.
            index = np.floor((videos["timestamp_s"].astype(float) / window).round(6)).astype("int64")
            return videos.assign(window_index=index).sort_values(["media_path", "window_index"], kind="stable")

        return Part(self.media, cut(self.frames), cut(self.faces))


class Groups:
    """Frames and their faces, group by group."""

    def __init__(self, part: Part, keys: list[str], labels: tuple[str, ...], correction: ShareCorrection | None):
        """`part`: rows of a group are consecutive, frames in the order of time, and every face has its frame; `keys`:
        the columns that define a group."""
        frames, faces = self._frames, self._faces = part.frames, part.faces
        self._labels, self._correction = labels, correction
        every = pd.concat([frames[keys], faces[keys]], ignore_index=True)
        codes = every.groupby(keys, sort=False, observed=True).ngroup().to_numpy(np.int64)
        mine, self._face_groups = codes[: len(frames)], codes[len(frames) :]
        self._starts = np.flatnonzero(np.diff(mine, prepend=-1))
        first = frames.iloc[self._starts]
        self._files = pd.factorize(first["media_path"])[0]  # Windows of a file share their autocorrelation.
        #: The values of the key columns, a row for each group.
        self.keys = {key: first[key].to_numpy() for key in ("media_path", "media_type", *keys[1:])}

    @cached_property
    def emotions(self) -> NDArray[np.int64]:
        """Number of faces by most probable emotion, (groups, labels)."""
        groups, labels = len(self._starts), len(self._labels)
        codes = pd.Index(self._labels).get_indexer(pd.Index(self._faces["emotion"]))
        return np.bincount(self._face_groups * labels + codes, minlength=groups * labels).reshape(groups, labels)

    @cached_property
    def posteriors(self) -> NDArray[np.float64] | None:
        """`ShareCorrection.posteriors` of all faces, (faces, labels); None without a correction."""
        if self._correction is None:
            return None
        return self._correction.posteriors(self._faces[list(self._labels)].to_numpy())

    @cached_property
    def means(self) -> dict[str, Means]:
        """The means of every group, by measure."""
        faces_in = self._frames["face_count"].to_numpy(float)
        with_face = faces_in > 0
        series = {"face_presence": with_face.astype(float), "faces_per_frame": np.where(with_face, faces_in, np.nan)}
        for name in (*self._labels, *MEASURES):
            series[name] = np.where(with_face, self._frames[name].astype(float), np.nan)
        return {name: series_means(values, self._starts, self._files) for name, values in series.items()}

    def table(self, keys: Keys, more: Mapping[str, Any]) -> pa.Table:
        """The key columns, `more` key columns, and the summary columns of every group."""
        lengths = np.diff(np.append(self._starts, len(self._frames)))
        adjusted = np.full(self.emotions.shape, np.nan)
        if self.posteriors is not None and self._correction is not None:
            begin = np.searchsorted(self._face_groups, np.arange(len(self._starts)))
            adjusted = adjusted_shares(self.posteriors, begin, self._correction)
        columns = summary_columns(lengths, self.means, self.emotions, adjusted)
        return pa.Table.from_pydict({**self.keys, **more, **columns}, summary_schema(self._labels, keys))

    def table_and_means(self, keys: Keys) -> pa.Table:
        """`table`, followed by the columns that `means_of` needs."""
        table = self.table(keys, {})
        for name, means in self.means.items():
            for column in _MEANS_FIELDS:
                table = table.append_column(f"{name} {column}", pa.array(getattr(means, column)))
        return table


def means_of(table: pa.Table, labels: tuple[str, ...]) -> dict[str, Means]:
    """The means in the rows of `table_and_means`, by measure."""
    return {
        name: Means(
            table[name].to_numpy(), **{column: table[f"{name} {column}"].to_numpy() for column in _MEANS_FIELDS}
        )
        for name in averaged_columns(labels)
    }


def summary_columns(
    lengths: NDArray[np.int64], means: Mapping[str, Means], emotions: NDArray[np.int64], adjusted: NDArray[np.float64]
) -> dict[str, Any]:
    """The columns that all summaries share.

    Args:
        lengths: Frames in each group, (groups,).
        means: Means of each group, by measure.
        emotions: Faces by most probable emotion, (groups, labels).
        adjusted: Corrected shares, (groups, labels).
    """
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


def summary_schema(labels: Sequence[str], keys: Keys) -> pa.Schema:
    """The schema of a summary: `keys` and `summary_columns`."""
    columns = [(name, pa.int64()) for name in ("frames", "frames_with_faces", "faces")]
    for name in averaged_columns(labels):
        columns += [(name, pa.float64()), (f"{name}_low", pa.float64()), (f"{name}_high", pa.float64())]
    columns += [(f"share_{label}", pa.float64()) for label in labels]
    return pa.schema(keys + columns + [(f"adjusted_share_{label}", pa.float64()) for label in labels])


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)
