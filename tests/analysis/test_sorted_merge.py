"""Rows of many parts come out in the order of their files, in slices that do not depend on the parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.analysis import sorted_merge
from fer_batch.analysis.sorted_merge import SortedMerge

Rows = list[tuple[str, int]]


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_merge, "ROWS", 7)


def table(rows: Rows) -> pa.Table:
    return pa.table({"media_path": [path for path, _ in rows], "n": [n for _, n in rows]})


def merged(parts: Sequence[Rows], then: str | None = "n") -> Iterator[Rows]:
    """The slices of parts, which come by their first path, as `summarize` reads them."""
    parts = sorted((sorted(part) for part in parts), key=lambda rows: rows[0][0] if rows else "")
    ordered = SortedMerge(then)
    for number, part in enumerate(parts, start=1):
        bound = next((rows[0][0] for rows in parts[number:] if rows), None) if number < len(parts) else None
        for some in ordered.add(table(part), bound):
            yield list(zip(some["media_path"].to_pylist(), some["n"].to_pylist(), strict=True))


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_slices_do_not_depend_on_the_parts(count: int) -> None:
    rng = np.random.default_rng(count)
    rows = [(f"{letter}/é{number}.mp4", n) for letter in "ab" for number in range(20) for n in range(3)]
    parts: list[Rows] = [[] for _ in range(count)]
    for path in sorted({path for path, _ in rows}):  # All rows of a file are in one part.
        parts[rng.integers(count)] += [row for row in rows if row[0] == path]
    found = list(merged(parts))
    assert list(chain.from_iterable(found)) == sorted(rows)
    assert [len(some) for some in found] == [7] * 17 + [1]


def test_no_more_than_some_slices_are_sorted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_at_once = []
    first = SortedMerge._first

    def spy(ordered: SortedMerge, bound: str | None) -> pa.Table:
        rows = first(ordered, bound)
        sorted_at_once.append(rows.num_rows)
        return rows

    monkeypatch.setattr(SortedMerge, "_first", spy)
    names = np.random.default_rng(0).permutation(1000)
    parts = [[(f"{name:04}", 0) for name in some] for some in np.array_split(names, 30)]
    assert [len(some) for some in merged(parts)] == [7] * 142 + [6]
    assert sum(sorted_at_once) == 1000
    assert max(sorted_at_once) <= 30  # One file of each part, where these are more than a slice.
    sorted_at_once.clear()
    parts = [[(f"{name:04}", 0) for name in names], [("0500.5", 0)]]
    assert sum(len(some) for some in merged(parts)) == 1001
    assert max(sorted_at_once) <= 8


def test_what_nothing_can_come_before_is_not_kept() -> None:
    ordered = SortedMerge()
    assert [some.num_rows for some in ordered.add(table([(f"a{n}", n) for n in range(7)]), "b")] == [7]
    assert list(ordered.add(table([(f"b{n}", n) for n in range(7)]), "b")) == []  # Others may begin with it.
    assert [some.num_rows for some in ordered.add(table([("b", 0)]), None)] == [7, 1]


def test_what_is_left_comes_with_an_empty_end() -> None:
    ordered = SortedMerge()
    assert list(ordered.add(table([("a", 1)]), "b")) == []
    assert [some.num_rows for some in ordered.add(table([]), None)] == [1]


def test_no_rows_at_all() -> None:
    assert list(SortedMerge().add(table([]), None)) == []
    assert list(chain.from_iterable(merged([[], [("a", 1)], []]))) == [("a", 1)]
