"""The Arrow schemas of the tables and the way from records to columns: the one place that knows both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.measures import add_face_measures, frame_means
from fer_batch.records import Piece, Prepared

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What orders the rows of a part.
ROW_ORDER = {
    "faces": ("media_path", "sample_index", "face_index"),
    "frames": ("media_path", "sample_index"),
    "media": ("media_path",),
}
_CATEGORY = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Scored:
    """A prepared file, or a piece of one, with the calibrated probabilities of its faces, float (faces, labels)."""

    prepared: Prepared | Piece
    probabilities: NDArray[np.floating]


def faces_schema(labels: Sequence[str]) -> pa.Schema:
    """A row per detected face."""
    return pa.schema(
        [
            ("media_path", pa.string()),
            ("media_type", _CATEGORY),
            ("sample_index", pa.int64()),
            ("timestamp_s", pa.float64()),
            ("face_index", pa.int32()),
            ("track_id", pa.int32()),
            *((name, pa.float32()) for name in ("x", "y", "width", "height", "detection_score")),
            *((name, pa.float32()) for name in ("yaw", "pitch", "roll")),
            *((name, pa.float32()) for name in labels),
            ("emotion", _CATEGORY),
            ("valence", pa.float32()),
            ("expressiveness", pa.float32()),
            ("facing", pa.bool_()),
        ]
    )


def frames_schema(labels: Sequence[str]) -> pa.Schema:
    """A row per sampled frame, those without a face too."""
    return pa.schema(
        [
            ("media_path", pa.string()),
            ("media_type", _CATEGORY),
            ("sample_index", pa.int64()),
            ("timestamp_s", pa.float64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("face_count", pa.int32()),
            *((name, pa.float32()) for name in labels),
            *((name, pa.float32()) for name in ("valence", "expressiveness", "attention", "engagement")),
        ]
    )


def media_schema() -> pa.Schema:
    """A row per input file, failed ones too."""
    return pa.schema(
        [
            ("media_path", pa.string()),
            ("media_type", _CATEGORY),
            ("status", _CATEGORY),
            ("error_stage", pa.string()),
            ("error_code", pa.string()),
            ("error_message", pa.string()),
            ("size_bytes", pa.int64()),
            ("modified", pa.timestamp("us", tz="UTC")),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("duration_s", pa.float64()),
            ("codec", pa.string()),
            ("frames_sampled", pa.int64()),
            ("faces_found", pa.int64()),
            ("processing_s", pa.float64()),
            ("recorded_at", pa.timestamp("us", tz="UTC")),
            ("stream_index", pa.int32()),
        ]
    )


def modified_time(modified_ns: int) -> datetime:
    """A file's modification time as the media table keeps it: UTC, whole microseconds, within the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(microseconds=modified_ns // 1000)
    except OverflowError:
        return (datetime.max if modified_ns > 0 else datetime.min).replace(tzinfo=UTC)


def modified_us(modified_ns: Sequence[int]) -> NDArray[np.int64]:
    """The same of many files, as microseconds since the epoch."""
    least, most = ((modified_time(ns) - _EPOCH) // timedelta(microseconds=1) for ns in (-(10**30), 10**30))
    return np.fromiter((min(max(ns // 1000, least), most) for ns in modified_ns), np.int64, len(modified_ns))


def to_tables(
    scored: Sequence[Scored], labels: Sequence[str], ahead: Sequence[Mapping[str, pa.Table]] = ()
) -> dict[str, pa.Table]:
    """The rows of all three tables for some files, ordered by path, frame and face. `ahead`: what `piece_tables` made
    of pieces of these files."""
    rows = piece_tables(scored, labels)
    for name in rows if ahead else ():
        joined = pa.concat_tables([rows[name], *(tables[name] for tables in ahead)]).unify_dictionaries()
        rows[name] = joined.sort_by([(key, "ascending") for key in ROW_ORDER[name]])
    media = [_media_row(one.prepared) for one in _ordered(scored) if isinstance(one.prepared, Prepared)]
    return rows | {"media": pa.Table.from_pylist(media, media_schema())}


def piece_tables(scored: Sequence[Scored], labels: Sequence[str]) -> dict[str, pa.Table]:
    """The rows of faces and frames for some files or pieces of them, ordered by path, frame and face."""
    ordered = _ordered(scored)
    faces = _faces(ordered, labels)
    frames = _frames(ordered, faces, labels)
    return {
        "faces": pa.Table.from_pandas(faces, faces_schema(labels), preserve_index=False),
        "frames": pa.Table.from_pandas(frames, frames_schema(labels), preserve_index=False),
    }


def _ordered(scored: Sequence[Scored]) -> list[Scored]:
    return sorted(scored, key=lambda one: one.prepared.media.path)


def _faces(scored: Sequence[Scored], labels: Sequence[str]) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for one in scored:
        media = one.prepared.media
        for frame in one.prepared.frames:
            time = None if frame.time is None else float(frame.time)
            for index, face in enumerate(frame.faces):
                box = (face.x, face.y, face.width, face.height, face.score)
                angles = face.angles or (None, None, None)
                key = (media.path, media.media_type, frame.sample_index, time, index, face.track_id)
                rows.append((*key, *box, *angles))
    names = ["media_path", "media_type", "sample_index", "timestamp_s", "face_index", "track_id"]
    measured = ["x", "y", "width", "height", "detection_score", "yaw", "pitch", "roll"]
    table = pd.DataFrame(rows, columns=[*names, *measured])
    table["track_id"] = table["track_id"].astype("Int32")
    probabilities = np.concatenate([np.empty((0, len(labels))), *(one.probabilities for one in scored)])
    for column, name in enumerate(labels):
        table[name] = probabilities[:, column]
    table["emotion"] = np.asarray(labels)[probabilities.argmax(axis=1)] if len(table) else ""
    return add_face_measures(table)


def _frames(scored: Sequence[Scored], faces: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    rows = [
        (one.prepared.media.path, one.prepared.media.media_type, frame.sample_index,
         None if frame.time is None else float(frame.time), frame.width, frame.height, len(frame.faces))
        for one in scored
        for frame in one.prepared.frames
    ]  # fmt: skip
    names = ["media_path", "media_type", "sample_index", "timestamp_s", "width", "height", "face_count"]
    keys = ["media_path", "sample_index"]
    return pd.DataFrame(rows, columns=names).join(frame_means(faces, keys, tuple(labels)), on=keys)


def _media_row(prepared: Prepared) -> dict[str, Any]:
    media, info, failure = prepared.media, prepared.info, prepared.failure
    return {
        "media_path": media.path,
        "media_type": media.media_type,
        "status": "failed" if prepared.failed else "done",
        "error_stage": failure and failure.stage.value,
        "error_code": failure and failure.code.value,
        "error_message": failure and failure.message,
        "size_bytes": media.size_bytes,
        "modified": modified_time(media.modified_ns),
        "width": info.width,
        "height": info.height,
        "duration_s": info.duration_s,
        "codec": info.codec,
        "frames_sampled": prepared.frames_sampled,
        "faces_found": prepared.faces_found,
        "processing_s": prepared.processing_s,
        "recorded_at": info.recorded_at,
        "stream_index": info.stream_index,
    }
