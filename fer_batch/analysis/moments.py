"""The windows in which each measure was strongest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from fer_batch.analysis.groups import MEDIA_KEYS, SPAN, Keys
from fer_batch.measures import RANGES

#: Windows kept per measure.
MAX_MOMENTS = 20
_VALUE: Keys = [(f"value{end}", pa.float64()) for end in ("", "_low", "_high")]
_RANK: Keys = [("measure", pa.string()), ("direction", pa.string()), ("rank", pa.int32())]
MOMENTS_SCHEMA = pa.schema([*_RANK, *MEDIA_KEYS, *SPAN, *_VALUE, ("frames_with_faces", pa.int64())])
_WINDOW = ["media_path", "media_type", "window_index", "start_s", "end_s", "frames_with_faces"]


class Moments:
    """The windows in which each measure and emotion was strongest over all videos, ranked from 1.

    Windows are ranked by the lower end of the interval (if unknown: the lower end of the range), then by the value. The
    lowest valence is ranked as well, by the upper end (`direction` low).
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._ranked = [*((name, "high") for name in names), ("valence", "low")]
        self._best: dict[tuple[str, str], pd.DataFrame] = {}

    def add(self, timeline: pa.Table) -> None:
        """Add some windows, rows of timeline."""
        windows = timeline.select([name for name in timeline.column_names if "share_" not in name]).to_pandas()
        for name, direction in self._ranked:
            sign = 1 if direction == "high" else -1
            end, limit = ("_low", min) if direction == "high" else ("_high", max)
            bound = windows[f"{name}{end}"].fillna(limit(RANGES.get(name, (0.0, 1.0)))) * sign
            ends = {f"value{end}": windows[f"{name}{end}"] for end in ("_low", "_high")}
            rows = windows[_WINDOW].assign(value=windows[name], **ends, bound=bound, order=windows[name] * sign)
            rows = rows.dropna(subset="value")
            if (before := self._best.get((name, direction))) is not None:
                rows = pd.concat([before, rows])
            keys = ["bound", "order", "media_path", "window_index"]
            rows = rows.sort_values(keys, ascending=[False, False, True, True])
            self._best[name, direction] = rows.head(MAX_MOMENTS)

    def table(self) -> pa.Table:
        """The ranked windows, as the table moments."""
        ranked = [
            best.assign(measure=name, direction=direction, rank=np.arange(1, len(best) + 1))
            for (name, direction), best in self._best.items()
        ]
        if not ranked:
            return MOMENTS_SCHEMA.empty_table()
        return pa.Table.from_pandas(pd.concat(ranked), MOMENTS_SCHEMA, preserve_index=False)
