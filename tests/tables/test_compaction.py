"""Compaction: the same rows in fewer parts, for the ledger and for whoever reads meanwhile, and nobody's file lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_batch import storage
from fer_batch.atomic import write_json
from fer_batch.emotions import EMOTIONS
from fer_batch.errors import UsageError
from fer_batch.tables import compaction as module
from fer_batch.tables.compaction import compact
from fer_batch.tables.layout import TABLES
from fer_batch.tables.ledger import Ledger
from fer_batch.tables.lock import lock_folder
from fer_batch.tables.parts import part_path, part_paths
from fer_batch.tables.run_file import read_run_file
from fer_batch.tables.schema import ClassifiedFile, to_tables
from tests.helpers.s3 import needs_s3, s3_on_loopback

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="swaps folders by renameat2")
RESULTS = {"sampling": {"fps": 1.0}}


@pytest.fixture
def fill(scored_file: Callable[..., ClassifiedFile], shares_of: Callable[..., Any]) -> Callable[..., Path]:
    def build(out: Path, parts: int, roots: dict[str, str] | None = None) -> Path:
        ledger = Ledger(out)
        for part in range(ledger.last_part, ledger.last_part + parts):
            files = [scored_file(f"{part:03}-{n}.mp4", [(0.0, [shares_of(happy=1.0)] * n), (1.0, [])]) for n in (0, 2)]
            ledger.commit(to_tables(files, EMOTIONS), RESULTS, roots or {"": "/in"})
        write_json(out / "run.json", {"status": "done", "last_part": ledger.last_part})
        return out

    return build


def one_by_one(entries: pa.Table) -> list[dict[str, Any]]:
    return entries.drop_columns("part").sort_by("media_path").to_pylist()


def contents(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        name: sorted((row for path in part_paths(out, name) for row in pq.read_table(path).to_pylist()), key=repr)
        for name in TABLES
    }


@linux_only
def test_fewer_parts_with_the_same_rows(fill: Callable[..., Path], tmp_path: Path) -> None:
    out = fill(tmp_path / "out", 7)
    before, entries = contents(out), Ledger(out).entries
    theirs = out / "faces" / "mine.txt"
    theirs.write_text("mine")
    (out / "notes").mkdir()
    (out / "notes" / "link").symlink_to("nowhere")
    (out / "link").symlink_to(tmp_path, target_is_directory=True)
    with lock_folder(out) as lock:
        assert compact(out, rows_per_part=8) == (7, 4)  # Four rows of faces and frames each.
        lock.check()
        with pytest.raises(UsageError, match="another process is writing there"), lock_folder(out):
            pass
    assert contents(out) == before
    assert [path.name for path in part_paths(out, "media")] == [f"part-{n:06}.parquet" for n in (8, 9, 10, 11)]
    assert theirs.read_text() == "mine"
    assert (out / "notes" / "link").is_symlink()
    assert (out / "link").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    ledger = Ledger(out)
    assert len(entries) == 14
    assert one_by_one(ledger.entries) == one_by_one(entries)
    assert ledger.last_part == read_run_file(out)["last_part"] == 11  # Complete before, complete now.
    ledger.check(RESULTS, {"": "/in"})
    with pytest.raises(UsageError, match="fps"):
        ledger.check({"sampling": {"fps": 2.0}}, {"": "/in"})


@linux_only
def test_rows_of_a_changed_file_are_replaced_also_in_a_merged_part(
    fill: Callable[..., Path], tmp_path: Path, scored_file: Callable[..., ClassifiedFile]
) -> None:
    out = fill(tmp_path / "out", 3)
    compact(out)
    Ledger(out).commit(to_tables([scored_file("001-2.mp4", [(0.0, [])])], EMOTIONS), RESULTS, {"": "/in"})
    counted = [row["media_path"] for row in contents(out)["faces"]]
    assert sorted(counted) == ["000-2.mp4"] * 2 + ["002-2.mp4"] * 2
    assert len(contents(out)["media"]) == 6


@pytest.mark.slow
@linux_only
def test_a_reader_that_lists_finds_every_row_once(fill: Callable[..., Path], tmp_path: Path) -> None:
    out = fill(tmp_path / "out", 20)
    expected, ending, seen = 20 * 2, threading.Event(), []

    def read() -> None:
        while not ending.is_set():
            for name, rows in (("media", expected), ("frames", 2 * expected)):
                try:
                    found = sum(pq.read_metadata(path).num_rows for path in (out / name).glob("*.parquet"))
                except FileNotFoundError:  # Listed before, opened after: told, and tried again.
                    continue
                seen.append(found == rows)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for rows in (8, 16, 32, 1000):
        compact(out, rows_per_part=rows)
    ending.set()
    for reader in readers:
        reader.join()
    assert len(part_paths(out, "media")) == 1
    assert seen
    assert all(seen)


@linux_only
@pytest.mark.parametrize("moment", ["_link", "_write", "_swap"])
def test_killed_at_any_moment_the_folder_is_whole_and_the_next_time_it_works(
    fill: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    out = fill(tmp_path / "out", 4)
    before, original = contents(out), getattr(module, moment)
    remove_sibling = module._remove_sibling

    def die_after(*arguments: Any) -> None:
        original(*arguments)
        monkeypatch.setattr(module, "_remove_sibling", lambda *_: None)  # What is killed cleans nothing up.
        raise KeyboardInterrupt

    monkeypatch.setattr(module, moment, die_after)
    with pytest.raises(KeyboardInterrupt):
        compact(out)
    sibling = tmp_path / ".out.fer-batch-compact"
    assert sibling.is_dir()
    assert contents(out) == before
    (sibling / "came later.txt").write_text("mine")
    monkeypatch.setattr(module, moment, original)
    monkeypatch.setattr(module, "_remove_sibling", remove_sibling)
    assert compact(out)[1] == 1
    assert contents(out) == before
    assert (out / "came later.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@linux_only
def test_parts_of_other_inputs_stay_apart(fill: Callable[..., Path], tmp_path: Path) -> None:
    out = fill(fill(tmp_path / "out", 2), 2, {"": "/in", "b.mp4": "/b.mp4"})
    before = contents(out)
    assert compact(out) == (4, 2)
    assert contents(out) == before


def test_into_a_new_folder(fill: Callable[..., Path], tmp_path: Path) -> None:
    out, new = fill(tmp_path / "out", 5), tmp_path / "new"
    assert compact(out, new) == (5, 1)
    assert contents(new) == contents(out)
    assert len(part_paths(out, "media")) == 5
    assert read_run_file(new)["last_part"] == 1
    with pytest.raises(UsageError, match="holds tables already"):
        compact(out, new)
    with pytest.raises(UsageError, match="no tables"):
        compact(tmp_path / "nothing")


def test_where_folders_can_not_be_swapped_nothing_changes(
    fill: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = fill(tmp_path / "out", 3)
    monkeypatch.setattr(sys, "platform", "other")
    with pytest.raises(UsageError, match="add --out with a new folder"):
        compact(out)
    assert len(part_paths(out, "media")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_on_loopback(monkeypatch):
        yield "s3://bucket"


@needs_s3
def test_on_a_store_into_a_new_folder_only(fill: Callable[..., Path], bucket: str, tmp_path: Path) -> None:
    out, new = storage.location(f"{bucket}/out"), storage.location(f"{bucket}/new")
    fill(out, 3)
    with pytest.raises(UsageError, match="add --out"):
        compact(out)
    assert compact(out, new) == (3, 1)
    assert Ledger(new).entries.num_rows == 6
    assert compact(new, tmp_path / "here") == (1, 1)
    assert len(pq.read_table(part_path(tmp_path / "here", "media", 1))) == 6
