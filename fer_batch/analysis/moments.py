"""The windows in which each measure was strongest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
#: What windows are ranked by, ascending, and a window as a row of the table.
_Ranked = tuple[tuple[float, float, str, int], dict[str, Any]]
_WINDOW = ["media_path", "media_type", "window_index", "start_s", "end_s", "frames_with_faces"]


class Moments:
    """The windows in which each measure and emotion was strongest over all videos, ranked from 1.

    Windows are ranked by the lower end of the interval (if unknown: the lower end of the range), then by the value. The
    lowest valence is ranked as well, by the upper end (`direction` low).
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._ranked = [*((name, "high") for name in names), ("valence", "low")]
        self._best: dict[tuple[str, str], list[_Ranked]] = {key: [] for key in self._ranked}

    def add(self, timeline: pa.Table) -> None:
        """Add some windows, rows of timeline."""
        windows = timeline.select(_WINDOW).to_pydict()
        paths, numbers = pd.factorize(np.array(windows["media_path"], object), sort=True)[0], windows["window_index"]
        for name, direction in self._ranked:
            sign = 1 if direction == "high" else -1
            end, limit = ("_low", min) if direction == "high" else ("_high", max)
            value, low, high = (timeline[f"{name}{column}"].to_numpy() for column in ("", "_low", "_high"))
            bound = low if end == "_low" else high
            bound = sign * np.where(np.isnan(bound), limit(RANGES.get(name, (0.0, 1.0))), bound)
            known = np.flatnonzero(~np.isnan(value))
            order = np.lexsort((np.array(numbers)[known], paths[known], -sign * value[known], -bound[known]))
            best = self._best[name, direction]
            for row in known[order[:MAX_MOMENTS]].tolist():
                moment = {column: windows[column][row] for column in _WINDOW}
                moment |= {"value": value[row], "value_low": low[row], "value_high": high[row]}
                key = (-bound[row], -sign * value[row], moment["media_path"], moment["window_index"])
                best.append((key, moment))
            best.sort(key=lambda ranked: ranked[0])
            del best[MAX_MOMENTS:]

    def table(self) -> pa.Table:
        """The ranked windows, as the table moments."""
        ranked = [
            {**moment, "measure": name, "direction": direction, "rank": rank}
            for (name, direction), best in self._best.items()
            for rank, (_, moment) in enumerate(best, start=1)
        ]
        columns = {name: [row[name] for row in ranked] for name in MOMENTS_SCHEMA.names}
        arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in MOMENTS_SCHEMA]
        return pa.Table.from_arrays(arrays, schema=MOMENTS_SCHEMA)
