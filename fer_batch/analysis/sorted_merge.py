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
        self._number += 1
        self._wait(table, self._number)
        while self._waiting and (bound is None or self._waiting[0][0] < bound):
            self._ready.append(self._first(bound))
            if sum(rows.num_rows for rows in self._ready) >= ROWS:  # Put together once: there are a hundred columns.
                rows = pa.concat_tables(self._ready).combine_chunks()
                whole = rows.num_rows // ROWS * ROWS
                for start in range(0, whole, ROWS):
                    yield rows.slice(start, ROWS)
                self._ready = [rows.slice(whole)]
        if bound is None and any(rows.num_rows for rows in self._ready):
            yield pa.concat_tables(self._ready).combine_chunks()

    def _first(self, bound: str | None) -> pa.Table:
        """Take out the first of the rows before `bound`, at least a file and not many more than a slice, sorted."""
        tables = [table for first, _, table in self._waiting if bound is None or first < bound]
        each = ROWS // len(tables)
        last = min(table["media_path"][min(each, table.num_rows - 1)].as_py() for table in tables)
        found = []
        while self._waiting and self._waiting[0][0] <= last and (bound is None or self._waiting[0][0] < bound):
            _, number, table = heappop(self._waiting)
            before = pc.less_equal(table["media_path"], last)
            if bound is not None:
                before = pc.and_(before, pc.less(table["media_path"], bound))
            cut = pc.sum(before).as_py()
            found.append(table.slice(0, cut))
            self._wait(table.slice(cut), number)
        return pa.concat_tables(found).sort_by(self._sorting)

    def _wait(self, table: pa.Table, number: int) -> None:
        if table.num_rows:
            heappush(self._waiting, (table["media_path"][0].as_py(), number, table))
