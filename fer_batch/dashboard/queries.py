"""The queries of the page, answered by DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from fer_batch.measures import MEASURES
from fer_batch.tables.sql import FOLDER, views

#: Maximum points of a line over time: a chart is not wide enough for more.
MAX_POINTS = 200


@dataclass(frozen=True)
class Selection:
    """Files by path, and the seconds of videos from `start` to `end`. Images have no time and are always included."""

    paths: Sequence[str]
    start: float
    end: float


class Tables:
    """The tables of one output folder."""

    def __init__(self, out: Path, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._means = ", ".join(f"avg({name}) AS {name}" for name in (*MEASURES, *self.labels))
        self._base = duckdb.connect()
        for view in views(out, labels).values():
            self._base.execute(view)

    def _query(self, query: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        with self._base.cursor() as cursor:  # Each visitor has a thread.
            return cursor.execute(query, parameters).df()

    def files(self) -> pd.DataFrame:
        """Every file that is done, with its folder and the seconds until its last sample."""
        return self._query(
            f"""SELECT media_path, media_type, {FOLDER} AS folder,
              coalesce(max(timestamp_s), 0) AS seconds
            FROM media LEFT JOIN frames USING (media_path, media_type) WHERE status = 'done'
            GROUP BY ALL ORDER BY media_path"""
        )

    def glance(self, chosen: Selection) -> pd.Series:
        """Counts and means of the selection."""
        return self._query(
            f"""SELECT count(DISTINCT media_path) AS files, count(*) AS frames, coalesce(sum(face_count), 0) AS faces,
              avg(CAST(face_count > 0 AS INTEGER)) AS face_presence, {self._means} FROM frames WHERE {_CHOSEN}""",
            _parameters(chosen),
        ).iloc[0]

    def over_time(self, chosen: Selection) -> pd.DataFrame:
        """Means by `second` since the start, over all chosen videos, in at most `MAX_POINTS` steps."""
        step = max(1.0, (chosen.end - chosen.start) / MAX_POINTS)
        return self._query(
            f"""SELECT floor(timestamp_s / ?) * ? AS second, avg(CAST(face_count > 0 AS INTEGER)) AS face_presence,
              avg(face_count) AS faces, {self._means}
            FROM frames WHERE timestamp_s IS NOT NULL AND {_CHOSEN} GROUP BY ALL ORDER BY second""",
            [step, step, *_parameters(chosen)],
        )

    def shares(self, chosen: Selection) -> pd.DataFrame:
        """Faces by file and most probable emotion: media_path, emotion, faces, share."""
        return self._query(
            f"""SELECT media_path, emotion, count(*) AS faces,
              count(*) / sum(count(*)) OVER (PARTITION BY media_path) AS share
            FROM faces WHERE {_CHOSEN} GROUP BY media_path, emotion ORDER BY media_path, emotion""",
            _parameters(chosen),
        )

    def by_file(self, chosen: Selection) -> pd.DataFrame:
        """A row for each file: counts, presence and means."""
        return self._query(
            f"""SELECT media_path, count(*) AS frames, sum(face_count) AS faces,
              avg(CAST(face_count > 0 AS INTEGER)) AS face_presence, {self._means}
            FROM frames WHERE {_CHOSEN} GROUP BY media_path ORDER BY engagement DESC NULLS LAST, media_path""",
            _parameters(chosen),
        )

    def moments(self, chosen: Selection, measures: Sequence[str]) -> pd.DataFrame:
        """The strongest windows of these measures and emotions that overlap what is chosen."""
        return self._query(
            """SELECT measure, direction, rank, media_path, start_s, end_s, value, value_low, value_high
            FROM strongest_moments WHERE list_contains(?, measure) AND list_contains(?, media_path)
              AND end_s > ? AND start_s <= ? ORDER BY rank, measure, direction""",
            [list(measures), *_parameters(chosen)],
        )

    def tracks(self, chosen: Selection) -> pd.DataFrame:
        """The face tracks of the chosen videos."""
        return self._query(
            """SELECT * FROM face_tracks WHERE list_contains(?, media_path) AND last_s >= ? AND first_s <= ?""",
            _parameters(chosen),
        )

    def failures(self) -> pd.DataFrame:
        """Files that could not be read, or only in part."""
        return self._query("SELECT * FROM failures")


_CHOSEN = "list_contains(?, media_path) AND (timestamp_s IS NULL OR timestamp_s BETWEEN ? AND ?)"


def _parameters(chosen: Selection) -> list[Any]:
    return [list(chosen.paths), chosen.start, chosen.end]
