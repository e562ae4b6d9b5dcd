"""Rows of many parts in the order of their files, without all of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

import pyarrow as pa
import pyarrow.compute as pc

#: Rows of a slice, the last one excepted: some 8 MB of a summary's columns.
ROWS = 8_192


class InOrder:
    """Merges tables that are each sorted by `media_path` into slices of `ROWS` rows, whatever tables they came in.

    What is kept are rows that others may still come before: few where parts follow each other, as a run's photographs
    do, and all where every part holds files of everywhere, as with its videos, which it reads by size.
    """

    def __init__(self, then: str | None = None) -> None:
        """`then`: the column that orders the rows of one file."""
        self._sorting = [(key, "ascending") for key in ("media_path", then) if key is not None]
        #: Tables by their first path; numbered, for tables cannot be compared.
        self._waiting: list[tuple[str, int, pa.Table]] = []
        self._number = 0
        #: Sorted rows before all others, fewer than a slice.
        self._ready: list[pa.Table] = []

    def add(self, table: pa.Table, bound: str | None) -> Iterator[pa.Table]:
        """Take in a table. `bound`: no path that is still to come lies before it; None: nothing is to come.

        Yields the slices that are whole now, and at the end what is left.
        """
        self._wait(table)
        for step in self._steps(bound):
            rows = pa.concat_tables([*self._ready, *self._before(step)])
            whole = rows.num_rows if step is None else rows.num_rows // ROWS * ROWS
            for start in range(0, whole, ROWS):
                yield rows.slice(start, ROWS)
            self._ready = [rows.slice(whole)]

    def _steps(self, bound: str | None) -> list[str | None]:
        """Paths up to which to go one after the other, so that no step sorts much more than a slice."""
        steps: list[str | None] = []
        rows = 0
        for first, _, table in sorted(one for one in self._waiting if bound is None or one[0] < bound):
            if rows >= ROWS:
                steps.append(first)
                rows = 0
            rows += table.num_rows
        return [*steps, bound] if rows or (bound is None and self._ready) else []

    def _before(self, bound: str | None) -> list[pa.Table]:
        """Take out the rows of the files before a path, None: all, and sort them."""
        found = []
        while self._waiting and (bound is None or self._waiting[0][0] < bound):
            _, _, first = heappop(self._waiting)
            cut = first.num_rows if bound is None else pc.sum(pc.less(first["media_path"], bound)).as_py()
            found.append(first.slice(0, cut))
            self._wait(first.slice(cut))
        return [pa.concat_tables(found).sort_by(self._sorting)] if found else []

    def _wait(self, table: pa.Table) -> None:
        if table.num_rows:
            self._number += 1
            heappush(self._waiting, (table["media_path"][0].as_py(), self._number, table))
