"""The rows of a study's files, from the part files of a run, one part in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.analysis.studies.collection import MediaRows
from fer_batch.analysis.studies.matching import MediaFile
from fer_batch.analysis.studies.spans import usual_interval
from fer_batch.measures import face_attention, face_engagement
from fer_batch.tables.parquet import read_many, read_small, read_table

_BOX = ("x", "y", "width", "height")
_FACE_MEASURES: dict[str, Callable[..., object]] = {"attention": face_attention, "engagement": face_engagement}


@dataclass(frozen=True)
class RunMedia:
    """The files of a run, and the names of the part files with rows of each path."""

    files: tuple[MediaFile, ...]
    parts: dict[str, str]


def read_media(out: Path, parts: Sequence[str]) -> RunMedia:
    """The media table of an output folder. `parts`: the names of its committed parts."""
    files, part_of = [], {}
    columns = ["media_path", "media_type", "duration_s"]
    tables = read_many([out / "media" / name for name in parts], lambda path: read_small(path, columns))
    for name, table in zip(parts, tables, strict=True):
        for path, media_type, duration in zip(*(table[column].to_pylist() for column in columns), strict=True):
            files.append(MediaFile(path, media_type, duration))
            part_of[path] = name
    return RunMedia(tuple(files), part_of)


def sampling_interval(out: Path, parts: Sequence[str], paths: Collection[str]) -> float | None:
    """The usual seconds between two frames of a file, the median over files; None where no file has two frames."""
    intervals = []
    for name in parts:
        table = _rows_of(out / "frames" / name, ["media_path", "timestamp_s"], paths)
        for _, rows in _by_path(table):
            times = np.sort(table["timestamp_s"].to_numpy()[rows].astype(float))
            intervals.append(usual_interval(times))
    known = [interval for interval in intervals if interval is not None]
    return float(np.median(known)) if known else None


def read_rows(out: Path, parts: Sequence[str], paths: Collection[str], names: Sequence[str]) -> Iterator[MediaRows]:
    """The rows of the files with these paths, file by file.

    Args:
        out: The output folder.
        parts: The names of the part files to look into.
        paths: The files that are meant; others are passed over.
        names: The measures and emotions, in the order of `MediaRows.values`.
    """
    stored = [name for name in names if name not in _FACE_MEASURES]
    for part in parts:
        frames = _rows_of(
            out / "frames" / part, ["media_path", "sample_index", "timestamp_s", "width", "height"], paths
        )
        columns = [
            "media_path",
            "sample_index",
            "track_id",
            *_BOX,
            *dict.fromkeys([*stored, "expressiveness"]),
            "facing",
        ]
        faces = _rows_of(out / "faces" / part, columns, paths)
        values = _values(faces, names)
        places = dict(_by_path(faces))
        none = np.empty(0, np.int64)
        for path, rows in _by_path(frames):
            yield _media_rows(path, frames, rows, faces, places.get(path, none), values)


def _rows_of(file: Path, columns: Sequence[str], paths: Collection[str]) -> pa.Table:
    table = read_table(file, columns)
    return table.filter(pc.is_in(table["media_path"], pa.array(sorted(paths), pa.string()))).combine_chunks()


def _by_path(table: pa.Table) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """The positions of each file's rows, in their order."""
    if not table.num_rows:
        return
    encoded = table["media_path"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    edges = np.flatnonzero(np.diff(codes[order], prepend=-1, append=-1)).tolist()
    for start, end in pairwise(edges):
        yield encoded.dictionary[int(codes[order[start]])].as_py(), order[start:end]


def _values(faces: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """The measures and emotions of faces, (names, faces)."""
    values = np.empty((len(names), faces.num_rows))
    needed = faces.select(["expressiveness", "facing"]).to_pandas()
    for row, name in zip(values, names, strict=True):
        row[:] = _FACE_MEASURES[name](needed) if name in _FACE_MEASURES else _floats(faces, name)
    return values


def _media_rows(
    path: str, frames: pa.Table, rows: NDArray[np.int64], faces: pa.Table, places: NDArray[np.int64],
    values: NDArray[np.float64],
) -> MediaRows:  # fmt: skip
    times = _floats(frames, "timestamp_s")[rows]
    rows = rows[np.argsort(times, kind="stable")]
    indices = frames["sample_index"].to_numpy()[rows]
    by_index = np.argsort(indices, kind="stable")
    face_indices = faces["sample_index"].to_numpy()[places]
    x, y, width, height = (_floats(faces, name)[places] for name in _BOX)
    return MediaRows(
        path=path,
        times=_floats(frames, "timestamp_s")[rows],
        widths=_floats(frames, "width")[rows],
        heights=_floats(frames, "height")[rows],
        face_frames=by_index[np.searchsorted(indices[by_index], face_indices)],
        centre_x=x + width / 2,
        centre_y=y + height / 2,
        tracks=pc.fill_null(faces["track_id"], -1).to_numpy()[places].astype(np.int64),
        values=values[:, places],
    )


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].to_numpy().astype(float))
