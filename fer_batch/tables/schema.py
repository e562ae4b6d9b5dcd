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
from fer_batch.records import FileResult, FrameChunk

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What orders the rows of a part.
ROW_ORDER = {
    "faces": ("media_path", "sample_index", "face_index"),
    "frames": ("media_path", "sample_index"),
    "media": ("media_path",),
}
_CATEGORY = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class ClassifiedChunk:
    """A chunk with the calibrated probabilities of its faces, float (faces, labels). Its crops are not needed."""

    chunk: FrameChunk
    probabilities: NDArray[np.floating]


@dataclass(frozen=True)
class ClassifiedFile:
    """The result of a file and the chunks of the attempt that it closes."""

    result: FileResult
    chunks: tuple[ClassifiedChunk, ...] = ()


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
            *((name, pa.float32()) for name in ("sharpness", "brightness", "outside_frame")),
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
    earliest, latest = ((modified_time(ns) - _EPOCH) // timedelta(microseconds=1) for ns in (-(10**30), 10**30))
    return np.fromiter((min(max(ns // 1000, earliest), latest) for ns in modified_ns), np.int64, len(modified_ns))


def to_tables(
    files: Sequence[ClassifiedFile], labels: Sequence[str], earlier: Sequence[Mapping[str, pa.Table]] = ()
) -> dict[str, pa.Table]:
    """The rows of all three tables for some files, ordered by path, frame and face. `earlier`: what `chunk_tables` made
    of other chunks of these files."""
    ordered = sorted(files, key=lambda file: file.result.media.path)
    rows = chunk_tables([chunk for file in ordered for chunk in file.chunks], labels)
    for name in rows if earlier else ():
        joined = pa.concat_tables([rows[name], *(tables[name] for tables in earlier)]).unify_dictionaries()
        rows[name] = joined.sort_by([(key, "ascending") for key in ROW_ORDER[name]])
    media = pa.Table.from_pylist([_media_row(file.result) for file in ordered], media_schema())
    return rows | {"media": media}


def chunk_tables(chunks: Sequence[ClassifiedChunk], labels: Sequence[str]) -> dict[str, pa.Table]:
    """The rows of faces and frames for some chunks, in their order."""
    faces = _faces(chunks, labels)
    frames = _frames(chunks, faces, labels)
    return {
        "faces": pa.Table.from_pandas(faces, faces_schema(labels), preserve_index=False),
        "frames": pa.Table.from_pandas(frames, frames_schema(labels), preserve_index=False),
    }


def _faces(chunks: Sequence[ClassifiedChunk], labels: Sequence[str]) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for classified in chunks:
        media = classified.chunk.media
        for frame in classified.chunk.frames:
            time = None if frame.time is None else float(frame.time)
            for index, face in enumerate(frame.faces):
                box = (face.x, face.y, face.width, face.height, face.score)
                angles = face.angles or (None, None, None)
                key = (media.path, media.media_type, frame.sample_index, time, index, face.track_id)
                seen = face.quality
                quality = (seen.sharpness, seen.brightness, seen.outside_frame) if seen else (None, None, None)
                rows.append((*key, *box, *angles, *quality))
    names = ["media_path", "media_type", "sample_index", "timestamp_s", "face_index", "track_id"]
    measured = ["x", "y", "width", "height", "detection_score", "yaw", "pitch", "roll"]
    measured += ["sharpness", "brightness", "outside_frame"]
    table = pd.DataFrame(rows, columns=[*names, *measured])
    table["track_id"] = table["track_id"].astype("Int32")
    probabilities = np.concatenate([np.empty((0, len(labels))), *(chunk.probabilities for chunk in chunks)])
    for column, name in enumerate(labels):
        table[name] = probabilities[:, column]
    table["emotion"] = np.asarray(labels)[probabilities.argmax(axis=1)] if len(table) else ""
    return add_face_measures(table)


def _frames(chunks: Sequence[ClassifiedChunk], faces: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    rows = [
        (chunk.media.path, chunk.media.media_type, frame.sample_index,
         None if frame.time is None else float(frame.time), frame.width, frame.height, len(frame.faces))
        for chunk in (classified.chunk for classified in chunks)
        for frame in chunk.frames
    ]  # fmt: skip
    names = ["media_path", "media_type", "sample_index", "timestamp_s", "width", "height", "face_count"]
    keys = ["media_path", "sample_index"]
    return pd.DataFrame(rows, columns=names).join(frame_means(faces, keys, tuple(labels)), on=keys)


def _media_row(result: FileResult) -> dict[str, Any]:
    media, info, failure = result.media, result.info, result.failure
    return {
        "media_path": media.path,
        "media_type": media.media_type,
        "status": "failed" if result.failed else "done",
        "error_stage": failure and failure.stage.value,
        "error_code": failure and failure.code.value,
        "error_message": failure and failure.message,
        "size_bytes": media.size_bytes,
        "modified": modified_time(media.modified_ns),
        "width": info.width,
        "height": info.height,
        "duration_s": info.duration_s,
        "codec": info.codec,
        "frames_sampled": result.frames_sampled,
        "faces_found": result.faces_found,
        "processing_s": result.processing_s,
        "recorded_at": info.recorded_at,
        "stream_index": info.stream_index,
    }
