"""What the tables say of one media file: its faces at any time, and the measures of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_batch.measures import MEASURES

#: A box as shares of the frame: left, top, width, height.
Box = tuple[float, float, float, float]
#: How long the box of a face stays after its track's last sample, in seconds: one frame is too short to see.
HOLD_S = 0.2
#: How long it stays after the only sample of a video, in seconds; see `Samples.faces_at`.
_HOLD_OF_ONE_S = 1.0
_BOX = ["x", "y", "width", "height"]
_ANGLES = ["yaw", "pitch", "roll"]


@dataclass(frozen=True)
class DrawnFace:
    """A face at some time.

    Attributes:
        track: Number of its track; None in an image.
        box: Where it is.
        angles: Yaw, pitch and roll in degrees; None where unknown.
        expressions: The two most probable ones with their probabilities, 0..1, of its last sample.
        measured: Whether the frame was sampled; otherwise the box lies between two samples, or is held after the last.
        held_since: Seconds of the track's last sample, where the box is held after it; else None.
    """

    track: int | None
    box: Box
    angles: tuple[float, float, float] | None
    expressions: tuple[tuple[str, float], ...]
    measured: bool = True
    held_since: float | None = None


@dataclass(frozen=True)
class DrawnFrame:
    """A frame under way: seconds, exact; its picture, uint8 (h, w, 3), BGR; its faces; how many cuts lie before it."""

    time: Fraction
    picture: NDArray[np.uint8]
    faces: Sequence[DrawnFace]
    scene: int = 0


@dataclass(frozen=True)
class _Track:
    """The samples of one face, in the order of time: seconds (n,), boxes (n, 4), angles (n, 3)."""

    number: int | None
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    angles: NDArray[np.float64]
    expressions: Sequence[tuple[tuple[str, float], ...]]

    def at(self, time: float) -> DrawnFace:
        """The face at a time from the track's first sample on."""
        before = int(np.searchsorted(self.times, time, side="right")) - 1
        after = min(before + 1, len(self.times) - 1)
        measured, last = self.times[before] == time, before == after
        share = 0.0 if measured or last else (time - self.times[before]) / (self.times[after] - self.times[before])
        box = self.boxes[before] + share * (self.boxes[after] - self.boxes[before])
        angles = self.angles[before] + share * (self.angles[after] - self.angles[before])
        known = None if np.isnan(angles).any() else (float(angles[0]), float(angles[1]), float(angles[2]))
        drawn_box: Box = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        held_since = float(self.times[-1]) if last and not measured else None
        return DrawnFace(self.number, drawn_box, known, self.expressions[before], bool(measured), held_since)


class Samples:
    """The sampled frames of one media file and their faces.

    Attributes:
        times: Seconds of the sampled frames, ascending, float64 (n,); [0] for an image.
        values: Measures and emotions by name, means over the faces of each frame, NaN where it has none; float64 (n,).
    """

    def __init__(self, frames: pd.DataFrame, faces: pd.DataFrame, labels: Sequence[str]) -> None:
        """Take the rows of one file.

        Args:
            frames: Its rows of `frames`.
            faces: Its rows of `faces`.
            labels: The emotions that the tables have columns for.
        """
        frames = frames.sort_values("sample_index")
        self.times = frames["timestamp_s"].fillna(0.0).to_numpy(np.float64)
        self.values = {name: frames[name].to_numpy(np.float64, na_value=np.nan) for name in (*MEASURES, *labels)}
        sizes = frames.set_index("sample_index")[["width", "height"]].rename(columns="frame_{}".format)
        faces = faces.join(sizes, on="sample_index").sort_values(["sample_index", "face_index"])
        faces["timestamp_s"] = faces["timestamp_s"].fillna(0.0)
        # In an image no face has a track: each is its own.
        keys = faces["track_id"].where(faces["track_id"].notna(), -1 - faces["face_index"])
        self._tracks = [_track(rows, labels) for _, rows in faces.groupby(keys.astype(int))]
        self._first = np.array([track.times[0] for track in self._tracks])
        last = np.array([track.times[-1] for track in self._tracks])
        # Nothing says that a face of the last sample has gone until another sample is due.
        interval = float(np.median(np.diff(self.times))) if len(self.times) > 1 else _HOLD_OF_ONE_S
        to_end = max(HOLD_S, interval)
        self._until = last + np.where(last == self.times[-1:].max(initial=0.0), to_end, HOLD_S)

    def faces_at(self, time: float) -> list[DrawnFace]:
        """The faces of the frame at `time` seconds, those of tracks that ended up to `HOLD_S` before too, and those of
        the last sample for as long as samples are apart."""
        there = np.flatnonzero((self._first <= time) & (time <= self._until))
        return [self._tracks[index].at(time) for index in there.tolist()]

    def is_sampled(self, time: float) -> bool:
        """Whether the frame at `time` seconds was sampled."""
        place = int(np.searchsorted(self.times, time))
        return place < len(self.times) and bool(self.times[place] == time)

    def values_at(self, time: float) -> dict[str, float]:
        """Measures and emotions of the last sample up to `time` seconds; NaN before the first and without a face."""
        place = int(np.searchsorted(self.times, time, side="right")) - 1
        return {name: float(values[place]) if place >= 0 else np.nan for name, values in self.values.items()}


def _track(rows: pd.DataFrame, labels: Sequence[str]) -> _Track:
    number = rows["track_id"].iloc[0]
    sizes = rows[["frame_width", "frame_height"] * 2].to_numpy(np.float64)
    probabilities = rows[list(labels)].to_numpy(np.float64)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    return _Track(
        None if pd.isna(number) else int(number),
        rows["timestamp_s"].to_numpy(np.float64),
        rows[_BOX].to_numpy(np.float64) / sizes,
        rows[_ANGLES].to_numpy(np.float64, na_value=np.nan),
        [tuple((labels[i], float(row[i])) for i in two) for row, two in zip(probabilities, best, strict=True)],
    )
