"""The counts of a run add up, and its closing summary says what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from fer_batch.emotions import EMOTIONS
from fer_batch.pipeline.stats import Processed, assert_complete, closing_lines, count
from fer_batch.records import Code, Failure, Stage
from fer_batch.tables.ledger import Ledger
from fer_batch.tables.schema import to_tables


def failure(code: Code) -> Failure:
    return Failure(Stage.DECODE, code, "so it is")


@pytest.fixture
def ended(tmp_path: Path, scored_file: Callable, shares_of: Callable) -> tuple[pa.Array, Ledger, Processed]:
    """Five files found, of which one was there already, one is left over, and three were gone through."""
    before = scored_file("before.mp4", [(0.0, [])], size_bytes=1)
    scored = [
        scored_file("a.mp4", [(0.0, [shares_of(happy=1.0)]), (1.0, [])], failure(Code.TRUNCATED)),
        scored_file("b.mp4", [], failure(Code.NO_FRAMES)),
        scored_file("c.mp4", [], failure(Code.NO_FRAMES)),
    ]
    left_over = scored_file("left.mp4", [])
    ledger = Ledger(tmp_path / "out")
    for part in ([before, scored_file("gone.mp4", [])], scored):
        ledger.commit(to_tables(part, EMOTIONS), {}, {})
    done = Processed(media_seconds=90.0)
    for file in scored:
        done.add(file.result)
    return pa.array([file.result.media.path for file in (before, *scored, left_over)]), ledger, done


def test_counts(ended: tuple[pa.Array, Ledger, Processed]) -> None:
    found, ledger, done = ended
    assert count(found, 1, ledger, done) == {
        "discovered": 5,
        "done": 2,
        "failed": 2,
        "outstanding": 1,
        "skipped": 1,
        "absent": 1,
        "failed_by_code": {"no_frames": 2},
        "kept_in_part": {"truncated": 1},
        "processed": 3,
        "processed_failed": 2,
        "processed_frames": 2,
        "processed_faces": 1,
        "processed_media_seconds": 90.0,
    }


def test_the_closing_summary(ended: tuple[pa.Array, Ledger, Processed]) -> None:
    found, ledger, done = ended
    assert closing_lines(count(found, 1, ledger, done), 30.0) == [
        "5 files: 2 done (kept in part: 1 truncated), 2 failed (2 no_frames), 1 outstanding; 1 skipped, "
        "already in the tables",
        "this run: 3 files, 2 frames, 1 faces, 90 s of video in 30 s (3.00 media-seconds per second)",
    ]


def test_counts_that_do_not_add_up_are_a_defect(ended: tuple[pa.Array, Ledger, Processed]) -> None:
    found, ledger, done = ended
    assert_complete(count(found[:-1], 1, ledger, done))
    for wrong in (count(found, 1, ledger, done), count(found[:-1], 0, ledger, done)):
        with pytest.raises(AssertionError, match="do not add up"):
            assert_complete(wrong)
    done.files += 1
    with pytest.raises(AssertionError, match="do not add up"):
        assert_complete(count(found[:-1], 1, ledger, done))


@pytest.mark.parametrize("table", ["faces", "frames"])
def test_rows_that_are_not_counted_are_not_committed(
    tmp_path: Path, scored_file: Callable, shares_of: Callable, table: str
) -> None:
    tables = to_tables([scored_file("a.mp4", [(0.0, [shares_of(happy=1.0)])])], EMOTIONS)
    tables[table] = tables[table].slice(1)
    with pytest.raises(AssertionError, match=f"1 {table} counted, 0 rows made"):
        Ledger(tmp_path / "out").commit(tables, {}, {})
    assert not (tmp_path / "out").exists()
