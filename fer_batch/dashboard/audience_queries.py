"""The queries of the audience page over the tables of a study, answered by DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from fer_batch.analysis.studies.folder import study_facts, table_path
from fer_batch.tables.layout import STUDY_TABLES

#: Columns of the heat strips, at most.
MAX_COLUMNS = 300


class StudyTables:
    """The tables of a study in an output folder. A segment of None is the whole stimulus."""

    def __init__(self, out: Path) -> None:
        self.facts = study_facts(out)
        self._base = duckdb.connect()
        for name in STUDY_TABLES:
            # The path is escaped as SQL text, and once more as a pattern.
            path = "".join(f"[{sign}]" if sign in "*?[" else sign for sign in str(table_path(out, name).absolute()))
            quoted = path.replace("'", "''")
            self._base.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{quoted}')")

    def _query(self, query: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        with self._base.cursor() as cursor:  # Each visitor has a thread.
            return cursor.execute(query, parameters).df()

    def stimuli(self) -> list[str]:
        """The stimuli, sorted."""
        return list(self._query("SELECT DISTINCT stimulus FROM by_respondent ORDER BY stimulus")["stimulus"])

    def segments(self, stimulus: str) -> pd.DataFrame:
        """The segments of a stimulus in the order of time: segment, start_s, end_s."""
        return self._query(
            """SELECT DISTINCT segment, start_s, end_s FROM by_segment
            WHERE stimulus = ? AND segment IS NOT NULL ORDER BY start_s, end_s""",
            [stimulus],
        )

    def compared_factors(self, stimulus: str) -> list[str]:
        """The factors whose values are compared."""
        query = "SELECT DISTINCT factor FROM curve WHERE stimulus = ? AND factor IS NOT NULL ORDER BY factor"
        return list(self._query(query, [stimulus])["factor"])

    def curve(self, stimulus: str, factor: str | None, measure: str) -> pd.DataFrame:
        """The curve of a measure: second, line (a factor value or `all respondents`), respondents, mean, and the ends
        of interval and band."""
        name = _quoted(measure)
        ends = ", ".join(
            f"{_quoted(measure + end)} AS {end[1:]}" for end in ("_low", "_high", "_band_low", "_band_high")
        )
        return self._query(
            f"""SELECT bin_start_s AS second, coalesce("value", 'all respondents') AS line, respondents,
              reacting_share, {name} AS mean, {ends}
            FROM curve WHERE stimulus = ? AND factor IS NOT DISTINCT FROM ? ORDER BY line, second""",
            [stimulus, factor],
        )

    def by_segment(self, stimulus: str, factor: str | None, measure: str) -> pd.DataFrame:
        """Means of a measure by segment and factor value, and their changes from the baseline."""
        columns = [f"{measure}{change}{end}" for change in ("", "_change") for end in ("", "_low", "_high")]
        return self._query(
            f"""SELECT coalesce(segment, 'whole stimulus') AS segment, start_s, end_s,
              coalesce("value", 'all respondents') AS line, respondents, face_presence,
              {", ".join(map(_quoted, columns))}
            FROM by_segment WHERE stimulus = ? AND factor IS NOT DISTINCT FROM ?
            ORDER BY by_segment.segment IS NOT NULL, start_s, end_s, line""",
            [stimulus, factor],
        )

    def contrasts(self, stimulus: str, factor: str, measure: str) -> pd.DataFrame:
        """The contrasts of a measure and of its change between the values of a factor."""
        return self._query(
            """SELECT coalesce(segment, 'whole stimulus') AS segment, measure,
              value_a || ' − ' || value_b AS pair, difference, difference_low, difference_high, hedges_g, p, p_adjusted,
              paired, respondents_a, respondents_b
            FROM contrasts WHERE stimulus = ? AND factor = ? AND measure IN (?, ?) AND difference IS NOT NULL
            ORDER BY contrasts.segment IS NOT NULL, start_s, end_s, pair""",
            [stimulus, factor, measure, f"{measure}_change"],
        )

    def moments(self, stimulus: str, measure: str) -> pd.DataFrame:
        """The bins in which the simultaneous band of the change of a measure excludes 0, ranked."""
        return self._query(
            """SELECT rank, direction, bin_start_s, bin_end_s, value, compared_with, reference, change,
              change_band_low, change_band_high, respondents_beyond, respondents
            FROM moments WHERE stimulus = ? AND measure = ? ORDER BY rank""",
            [stimulus, measure],
        )

    def synchrony(self, stimulus: str, measure: str, segment: str | None) -> pd.Series | None:
        """The inter-subject correlation of a measure in a segment; None where there is none."""
        query = "SELECT * FROM synchrony WHERE stimulus = ? AND measure = ? AND segment IS NOT DISTINCT FROM ?"
        rows = self._query(query, [stimulus, measure, segment])
        return None if rows.empty else rows.iloc[0]

    def respondents(self, stimulus: str, segment: str | None) -> pd.DataFrame:
        """The rows of by_respondent in a segment."""
        return self._query(
            """SELECT * EXCLUDE (stimulus, segment, start_s, end_s) FROM by_respondent
            WHERE stimulus = ? AND segment IS NOT DISTINCT FROM ? ORDER BY respondent""",
            [stimulus, segment],
        )

    def strips(self, stimulus: str, measure: str) -> pd.DataFrame:
        """Each respondent's curve in at most `MAX_COLUMNS` steps: respondent, second, until, value (null: missing)."""
        longest = "SELECT coalesce(max(bin_start_s), 0) AS last FROM respondent_curves WHERE stimulus = ?"
        last = float(self._query(longest, [stimulus])["last"].iloc[0])
        width = max(1, -(-(last + self.facts.bin_s) // (MAX_COLUMNS * self.facts.bin_s))) * self.facts.bin_s
        return self._query(
            f"""SELECT respondent, floor(bin_start_s / ?) * ? AS second, second + ? AS until,
              avg({_quoted(measure)}) AS value
            FROM respondent_curves WHERE stimulus = ? GROUP BY respondent, second ORDER BY respondent, second""",
            [width, width, width, stimulus],
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
