"""Rows of many parts sorted by file, without all of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

import pyarrow as pa
import pyarrow.compute as pc

#: Rows of each slice except the last: about 8 MB of a summary's columns.
ROWS = 8_192


class SortedMerge:
    """Merges tables that are each sorted by `media_path` into slices of `ROWS` rows.

    Rows are kept until no row can come before them: few when parts follow each other, as those of images do, and all
    when every part holds files from everywhere, as those of videos do, which a run reads by size.
    """

    def __init__(self, then: str | None = None) -> None:
        """`then`: the column by which the rows of one file are sorted."""
        self._sorting = [(key, "ascending") for key in ("media_path", then) if key is not None]
        #: A heap by first path; numbered, because tables cannot be compared.
        self._waiting: list[tuple[str, int, pa.Table]] = []
        self._number = 0
        #: Sorted rows before all others, fewer than a slice.
        self._ready: list[pa.Table] = []

    def add(self, table: pa.Table, bound: str | None) -> Iterator[pa.Table]:
        """Add a table, and yield the slices that are complete.

        Args:
            table: Rows sorted by `media_path`.
            bound: No later table has a path before it. None: this is the last table.
        """
        self._number += 1
        self._wait(table, self._number)
        while self._waiting and (bound is None or self._waiting[0][0] < bound):
            self._ready.append(self._first(bound))
            if sum(rows.num_rows for rows in self._ready) >= ROWS:  # Concatenated once: a hundred columns.
                rows = pa.concat_tables(self._ready).combine_chunks()
                whole = rows.num_rows // ROWS * ROWS
                for start in range(0, whole, ROWS):
                    yield rows.slice(start, ROWS)
                self._ready = [rows.slice(whole)]
        if bound is None and any(rows.num_rows for rows in self._ready):
            yield pa.concat_tables(self._ready).combine_chunks()

    def _first(self, bound: str | None) -> pa.Table:
        """Remove and return the first rows before `bound`, sorted: at least one file, not many more than a slice."""
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
