"""Folders of runs with made-up recordings, for the tests of studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS
from fer_batch.measures import MEASURES, add_face_measures, frame_means
from fer_batch.tables.commit import commit_part
from fer_batch.tables.schema import faces_schema, frames_schema, media_schema

WIDTH, HEIGHT = 1000, 500
NAMES = (*EMOTIONS, *MEASURES)


@dataclass(frozen=True)
class Person:
    """A face of a recording. `happy`: in each frame, NaN where the face is not found; the rest is neutral. `centre`: of
    the box, as shares of the frame; `yaw`: in degrees, for all frames, None without landmarks."""

    happy: Sequence[float] | NDArray[np.float64]
    track: int = 0
    centre: tuple[float, float] = (0.5, 0.5)
    yaw: float | None = 0.0


def recording(path: str, people: Sequence[Person], step: float = 1.0, start: float = 0.0) -> dict[str, pd.DataFrame]:
    """The rows of one video. `step`: seconds between frames; `start`: the time of the first."""
    count = len(people[0].happy)
    frames = pd.DataFrame({"sample_index": np.arange(count), "timestamp_s": start + step * np.arange(count)})
    frames = frames.assign(media_path=path, media_type="video", width=WIDTH, height=HEIGHT)
    faces = pd.concat([_faces(frames, person) for person in people]).sort_values(["sample_index", "track_id"])
    faces["face_index"] = faces.groupby("sample_index").cumcount()
    faces = add_face_measures(faces.reset_index(drop=True))
    found = faces.groupby("sample_index").size()
    frames["face_count"] = frames["sample_index"].map(found).fillna(0).astype(int)
    frames = frames.join(frame_means(faces, ["sample_index"], EMOTIONS), on="sample_index")
    media: dict[str, Any] = {"media_path": path, "media_type": "video", "status": "done"}
    media |= {"duration_s": start + step * count, "frames_sampled": count, "faces_found": len(faces)}
    return {"faces": faces, "frames": frames, "media": pd.DataFrame([media])}


def _faces(frames: pd.DataFrame, person: Person) -> pd.DataFrame:
    happy = np.asarray(person.happy, float)
    faces = frames[~np.isnan(happy)].drop(columns=["width", "height"])
    happy = happy[~np.isnan(happy)]
    x, y = person.centre[0] * WIDTH - 50, person.centre[1] * HEIGHT - 50
    faces = faces.assign(track_id=person.track, x=x, y=y, width=100.0, height=100.0, detection_score=0.9)
    faces = faces.assign(**dict.fromkeys(EMOTIONS, 0.0)).assign(happy=happy, neutral=1 - happy)
    faces["emotion"] = np.where(happy > 0.5, "happy", "neutral")
    angle = np.nan if person.yaw is None else person.yaw
    return faces.assign(yaw=angle, pitch=0.0 * angle, roll=0.0 * angle)


def write_run(out: Path, *parts: Sequence[Mapping[str, pd.DataFrame]]) -> Path:
    """An output folder whose parts hold these recordings."""
    schemas = {"faces": faces_schema(EMOTIONS), "frames": frames_schema(EMOTIONS), "media": media_schema()}
    for number, recordings in enumerate(parts, 1):
        tables = {}
        for name, schema in schemas.items():
            rows = pd.concat([recorded[name] for recorded in recordings])
            tables[name] = pa.Table.from_pandas(_complete(rows, schema), schema, preserve_index=False)
        commit_part(out, number, tables, {}, {})
    return out


def picture(path: str) -> dict[str, pd.DataFrame]:
    """The rows of an image without a face."""
    rows = recording(path, [Person([np.nan])])
    rows["media"]["media_type"] = rows["frames"]["media_type"] = "image"
    rows["media"]["duration_s"] = rows["frames"]["timestamp_s"] = np.nan
    return rows


def failed(path: str) -> dict[str, pd.DataFrame]:
    """The row of a video that could not be decoded."""
    rows = recording(path, [Person([np.nan])])
    rows["media"] = rows["media"].assign(status="failed", duration_s=np.nan)
    return {"faces": rows["faces"], "frames": rows["frames"].head(0), "media": rows["media"]}


def write_csv(path: Path, *lines: str) -> Path:
    """A text file of these lines."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _complete(rows: pd.DataFrame, schema: pa.Schema) -> pd.DataFrame:
    missing = {field.name: None for field in schema if field.name not in rows}
    return rows.assign(**missing)[schema.names]
