"""The table by_track."""

from __future__ import annotations

import pyarrow as pa

from fer_batch.analysis.groups import Keys, Part
from fer_batch.measures import FACE_MEASURES, MEASURES, face_attention, face_engagement

_KEYS: Keys = [("media_path", pa.string()), ("track_id", pa.int32())]
_KEYS += [(name, pa.float64()) for name in ("first_s", "last_s", "seconds_seen")] + [("frames", pa.int64())]


def by_track(part: Part, labels: tuple[str, ...]) -> pa.Table:
    """A row for each track: first and last time, frames, seconds, and means. `seconds_seen` is the number of frames
    times the median time between two samples of the video."""
    keys, averaged = ["media_path", "track_id"], [*labels, *MEASURES]
    tracked = part.faces.dropna(subset="track_id")
    values = tracked[[*keys, "timestamp_s", *labels, *FACE_MEASURES]].assign(
        attention=face_attention(tracked), engagement=face_engagement(tracked)
    )
    # Older versions of pandas average a float32 column in float32, where the order of the rows shows.
    groups = values.astype(dict.fromkeys(averaged, "float64")).groupby(keys, observed=True)
    rows = groups[averaged].mean()
    rows.insert(0, "first_s", groups["timestamp_s"].min())
    rows.insert(1, "last_s", groups["timestamp_s"].max())
    rows.insert(2, "frames", groups.size())
    rows = rows.reset_index()
    interval = part.frames.groupby("media_path", observed=True)["timestamp_s"].agg(
        lambda times: times.sort_values().diff().median()
    )
    seconds = rows["frames"] * rows["media_path"].astype(object).map(interval).astype(float)
    rows.insert(4, "seconds_seen", seconds.fillna(0.0))  # Unknown for a video with a single sample.
    return pa.Table.from_pandas(rows, tracks_schema(labels), preserve_index=False)


def tracks_schema(labels: tuple[str, ...]) -> pa.Schema:
    """The columns of by_track."""
    return pa.schema(_KEYS + [(name, pa.float64()) for name in (*labels, *MEASURES)])
