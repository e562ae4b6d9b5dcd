"""The index of parts saves reading them, and is never believed against a part."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_batch import storage
from fer_batch.emotions import EMOTIONS
from fer_batch.tables import part_index
from fer_batch.tables.layout import INDEX_FILE, TABLES
from fer_batch.tables.ledger import Ledger, clear_folder
from fer_batch.tables.parquet import write_table
from fer_batch.tables.part_index import read_parts
from fer_batch.tables.parts import committed_parts, part_path
from fer_batch.tables.schema import to_tables
from tests.helpers.s3 import needs_s3, s3_on_loopback


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored_file: Callable[..., Any]) -> Path:
    """A folder of five parts of two files each, and one without rows, indexed."""
    monkeypatch.setattr(part_index, "REINDEX_FROM", 2)
    monkeypatch.setattr(part_index, "_BATCH", 2)
    return indexed(tmp_path / "out", scored_file)


def indexed(out: Path, scored_file: Callable[..., Any]) -> Path:
    ledger = Ledger(out)
    for part in range(5):
        files = [scored_file(f"{part}-{n}.mp4", [(0.0, [])]) for n in range(2)]
        ledger.commit(to_tables(files, EMOTIONS), {"fps": 1.0}, {"": "/in"})
    ledger.commit(to_tables([], EMOTIONS), {"fps": 1.0}, {"": "/elsewhere"})
    Ledger(out).clean_up()
    return out


def entries(out: Path) -> list[dict[str, Any]]:
    return read_parts(out).rows.select(part_index.ENTRIES.names).sort_by("media_path").to_pylist()


def test_only_what_is_not_in_it_is_read(out: Path) -> None:
    parts = read_parts(out)
    assert parts.read == 1  # The one without rows has no place in it.
    assert [json.loads(text)[1] for text in parts.provenances] == [{"": "/elsewhere"}, {"": "/in"}]
    kept = entries(out)
    (out / INDEX_FILE).unlink()
    assert read_parts(out).read == 6
    assert entries(out) == kept
    assert len(kept) == 10


def test_a_part_that_was_written_anew_is_read_again(out: Path, scored_file: Callable[..., Any]) -> None:
    Ledger(out).commit(to_tables([scored_file("1-0.mp4", [])], EMOTIONS), {"fps": 1.0}, {"": "/in"})
    assert read_parts(out).read == 3  # The one it was in, its new one, and the one without rows.
    found = {row["media_path"]: row["part"] for row in entries(out)}
    assert (len(found), found["1-0.mp4"], found["1-1.mp4"]) == (10, 7, 2)


def test_time_alone_tells_that_a_part_is_another(out: Path) -> None:
    path = part_path(out, "media", 1)
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert read_parts(out).read == 2


def test_a_part_that_is_gone_does_not_count(out: Path) -> None:
    part_path(out, "frames", 3).unlink()
    assert {row["part"] for row in entries(out)} == {1, 2, 4, 5}


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense PAR1", None])
def test_an_index_that_can_not_be_read_costs_time_only(out: Path, content: bytes | None) -> None:
    before = entries(out)
    if content is None:
        write_table(out / INDEX_FILE, read_parts(out).rows.drop_columns("provenance"))
    else:
        (out / INDEX_FILE).write_bytes(content)
    assert read_parts(out).read == 6
    assert entries(out) == before


def test_few_parts_need_none(tmp_path: Path, scored_file: Callable[..., Any]) -> None:
    assert not (indexed(tmp_path / "out", scored_file) / INDEX_FILE).exists()


def test_starting_over_removes_it(out: Path) -> None:
    clear_folder(out)
    assert not (out / INDEX_FILE).exists()


@needs_s3
def test_on_a_store(monkeypatch: pytest.MonkeyPatch, scored_file: Callable[..., Any]) -> None:
    monkeypatch.setattr(part_index, "REINDEX_FROM", 2)
    with s3_on_loopback(monkeypatch):
        assert read_parts(indexed(storage.location("s3://bucket/out"), scored_file)).read == 1


def test_parts_count_in_the_order_of_their_numbers_whatever_their_names_length(tmp_path: Path) -> None:
    for table in TABLES:
        (tmp_path / table).mkdir()
        for number in (1_000_000, 999_999, 7):
            part_path(tmp_path, table, number).touch()
    part_path(tmp_path, "faces", 8).touch()  # Not there in the other tables.
    names = ["part-000007.parquet", "part-999999.parquet", "part-1000000.parquet"]
    assert committed_parts(tmp_path) == names
