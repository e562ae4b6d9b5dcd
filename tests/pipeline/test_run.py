"""The orchestrator's own decisions: units, second tries, quarantine, and what is left to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fer_batch.config import ResolvedConfig
from fer_batch.emotions import EMOTIONS
from fer_batch.errors import UsageError
from fer_batch.pipeline import run as orchestrator
from fer_batch.pipeline.scheduler import Tasks
from fer_batch.records import (
    Ahead,
    Code,
    Detection,
    Failure,
    Media,
    MediaInfo,
    Outline,
    Piece,
    Prepared,
    SampledFrame,
    Stage,
    Unit,
)
from fer_batch.runners.base import Loss, Outcome
from fer_batch.storage import content_digest
from fer_batch.tables import ledger as ledger_module
from fer_batch.tables.commit import commit_part
from fer_batch.tables.layout import DIGESTS_FILE
from fer_batch.tables.ledger import Ledger, clear_folder
from fer_batch.tables.schema import to_tables
from tests.helpers.run_config import config

NO_CROPS = np.empty((0, 48, 48), np.uint8)


def planned(*files: Media) -> Tasks:
    return orchestrator.plan(files)


def media(name: str, kind: str = "image", size: int = 1) -> Media:
    return Media(name, name, kind, size, 0)  # type: ignore[arg-type]


def prepared(one: Media) -> Prepared:
    return Prepared(one, MediaInfo(), (), NO_CROPS, None, 0.0)


class FakeRunner:
    """Loses units that hold certain files as often as told, and prepares all others."""

    def __init__(self, losses: dict[str, int], loss: Loss) -> None:
        self.losses, self.loss, self.calls = losses, loss, []

    def __call__(self, *_: object) -> FakeRunner:
        return self

    def run(self, units: Iterable[Unit]) -> Iterator[Outcome[Unit, Outline | Piece | Prepared]]:
        for unit in units:
            names = [one.path for one in unit.media]
            self.calls.append(names)
            doomed = [name for name in names if self.losses.get(name, 0) > 0]
            for name in doomed:
                self.losses[name] -= 1
            if doomed:
                yield Outcome(unit, None, self.loss, "its worker process died (signal SIGKILL)")
            else:
                yield from (Outcome(unit, prepared(one)) for one in unit.media)


def test_videos_come_alone_and_largest_first_images_in_buckets() -> None:
    images = [media(f"{i:02d}.jpg") for i in range(20)]
    units = list(orchestrator.plan([media("small.mp4", "video", 1), *images, media("large.mp4", "video", 9)]))
    assert [[one.path for one in unit.media] for unit in units[:2]] == [["large.mp4"], ["small.mp4"]]
    assert [len(unit.media) for unit in units[2:]] == [16, 4]


def test_innocents_of_a_lost_bucket_are_saved_and_the_culprit_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner({"b.jpg": 2}, Loss.WORKER_DIED)
    monkeypatch.setattr(orchestrator, "LocalRunner", {(Unit, Outline | Piece | Prepared): runner})
    results = list(
        orchestrator._prepared(config(tmp_path), planned(*map(media, ("a.jpg", "b.jpg", "c.jpg"))), lambda: None)
    )
    assert runner.calls == [["a.jpg", "b.jpg", "c.jpg"], ["a.jpg"], ["b.jpg"], ["c.jpg"]]
    failures = {one.media.path: one.failure for one in results}
    message = "b.jpg: its worker process died (signal SIGKILL)"
    assert failures == {"a.jpg": None, "b.jpg": Failure(Stage.WORK, Code.WORKER_DIED, message), "c.jpg": None}


def test_what_failed_once_by_chance_is_done_at_the_second_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner({"a.mp4": 1}, Loss.TIMEOUT)
    monkeypatch.setattr(orchestrator, "LocalRunner", {(Unit, Outline | Piece | Prepared): runner})
    (result,) = orchestrator._prepared(config(tmp_path), planned(media("a.mp4", "video")), lambda: None)
    assert result.failure is None


def test_a_timeout_has_its_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = FakeRunner({"a.mp4": 9}, Loss.TIMEOUT)
    monkeypatch.setattr(orchestrator, "LocalRunner", {(Unit, Outline | Piece | Prepared): runner})
    (result,) = orchestrator._prepared(config(tmp_path), planned(media("a.mp4", "video")), lambda: None)
    assert result.failed
    assert result.failure is not None
    assert result.failure.code is Code.TIMEOUT


class StubClassifier:
    """Has nothing to load and nothing to say."""

    def load(self) -> None:
        pass

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        return np.full((len(crops), 7), 1 / 7)


def commit(made: ResolvedConfig, ledger: Ledger, *files: Prepared) -> None:
    committer = orchestrator._Committer(made, ledger, StubClassifier())  # type: ignore[arg-type]
    for one in files:
        committer.add(one)
    committer.classify()
    committer.commit()


def test_the_ledger_knows_what_is_left(tmp_path: Path) -> None:
    made = config(tmp_path)
    failed = replace(prepared(media("bad.jpg")), failure=Failure(Stage.DECODE, Code.INVALID_DATA, "bad.jpg: bad"))
    commit(made, Ledger(made.out), prepared(media("a.jpg")), failed)
    found = [media("a.jpg"), media("bad.jpg"), media("new.jpg")]
    ledger = Ledger(made.out)
    assert [one.path for one in ledger.outstanding(found, retry_failed=False)] == ["new.jpg"]
    assert [one.path for one in ledger.outstanding(found, retry_failed=True)] == ["bad.jpg", "new.jpg"]
    touched = replace(media("a.jpg"), modified_ns=5_000)
    assert ledger.outstanding([touched], retry_failed=False) == [touched]


def test_new_rows_replace_old_ones_and_spare_their_neighbours(tmp_path: Path) -> None:
    made = config(tmp_path)
    commit(made, Ledger(made.out), prepared(media("a.jpg")), prepared(media("b.jpg")))
    commit(made, Ledger(made.out), prepared(media("b.jpg", size=2)))
    table = pq.ParquetDataset(made.out / "media").read().to_pandas().set_index("media_path")
    assert dict(table.size_bytes) == {"a.jpg": 1, "b.jpg": 2}
    commit(made, Ledger(made.out), prepared(media("a.jpg", size=3)))  # Empties the first part.
    assert [path.name for path in sorted((made.out / "media").iterdir())] == [
        "part-000002.parquet",
        "part-000003.parquet",
    ]


@pytest.mark.parametrize("there", [("faces",), ("faces", "frames")])
def test_a_part_without_its_media_file_does_not_count(tmp_path: Path, there: tuple[str, ...]) -> None:
    made = config(tmp_path)
    commit(made, Ledger(made.out), prepared(media("a.jpg")))
    for name in {"faces", "frames", "media"} - set(there):
        (made.out / name / "part-000001.parquet").unlink()
    (made.out / "faces" / ".part-000002.parquet.fer-batch-partial").write_bytes(b"half")
    ledger = Ledger(made.out)
    assert ledger.entries.num_rows == 0
    ledger.tidy()
    assert [path for path in made.out.rglob("*") if path.is_file()] == []


def film(one: Media, count: int, per_piece: int) -> list[Piece | Prepared]:
    """A film of `count` frames, the nth with n % 3 faces, in pieces of so many frames."""
    frames = [
        SampledFrame(n, Fraction(n), 64, 48, tuple(Detection(10.0 * face, n, 9, 9) for face in range(n % 3)))
        for n in range(count)
    ]
    parts = [tuple(frames[start : start + per_piece]) for start in range(0, count, per_piece)]
    crops = [np.zeros((sum(len(frame.faces) for frame in part), 48, 48), np.uint8) for part in parts]
    *ahead, last = zip(parts, crops, strict=True)
    sent = Ahead(len(ahead), sum(len(part) for part, _ in ahead), sum(len(faces) for _, faces in ahead))
    return [Piece(one, *piece) for piece in ahead] + [Prepared(one, MediaInfo(), *last, None, 0.0, sent)]


def test_pieces_wait_for_a_full_batch_while_no_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long film nothing can be written before its end, so batches need not go half empty."""
    monkeypatch.setattr(orchestrator._Committer, "_is_due", lambda self: True)
    made, sizes = config(tmp_path, batch_size=3), list[int]()

    class Counting(StubClassifier):
        def __call__(self, crops: np.ndarray) -> np.ndarray:
            sizes.append(len(crops))
            return super().__call__(crops)

    committer = orchestrator._Committer(made, Ledger(made.out), Counting())  # type: ignore[arg-type]
    for piece in film(media("a.mp4", "video"), 20, 2):
        committer.add(piece)
    assert sizes == [12, 7]
    assert len(rows(made.out)["faces"]) == 19


def rows(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: pq.ParquetDataset(out / name).read().to_pylist() for name in ("faces", "frames", "media")}


def test_pieces_make_the_rows_of_the_whole(tmp_path: Path) -> None:
    made, pieced = config(tmp_path), config(tmp_path, out=tmp_path / "pieced")
    a, b = media("a.mp4", "video"), media("b.mp4", "video")
    commit(made, Ledger(made.out), *film(a, 20, 20), *film(b, 20, 20))
    # Mixed up with another film's, and with those of a try that was lost.
    lost = film(a, 20, 3)[:-1]
    mixed = [*lost, *(piece for pair in zip(film(b, 20, 2), film(a, 20, 2), strict=True) for piece in pair)]
    commit(pieced, Ledger(pieced.out), *mixed)
    assert rows(pieced.out) == rows(made.out)
    assert len(rows(made.out)["faces"]) == 2 * 19


def test_an_unfinished_film_has_no_rows(tmp_path: Path) -> None:
    made = config(tmp_path)
    a = media("a.mp4", "video")
    failed = replace(prepared(a), failure=Failure(Stage.WORK, Code.WORKER_DIED, "a.mp4: died"))
    commit(made, Ledger(made.out), *film(a, 20, 2)[:-1])
    assert not made.out.exists()
    commit(made, Ledger(made.out), *film(a, 20, 2)[:-1], failed)
    assert [len(table) for table in rows(made.out).values()] == [0, 0, 1]


def test_crops_are_let_go_of_once_they_are_classified(tmp_path: Path) -> None:
    made = config(tmp_path, batch_size=1)
    committer = orchestrator._Committer(made, Ledger(made.out), StubClassifier())  # type: ignore[arg-type]
    for piece in film(media("a.mp4", "video"), 20, 20):
        committer.add(piece)
    assert committer._waiting == []
    assert [len(one.prepared.crops) for one in committer._scored] == [0]


class NoClassifier:
    """A classifier whose model does not fit."""

    device_name = None

    def __init__(self, *_: object) -> None:
        pass

    def load(self) -> None:
        raise UsageError("the weights do not fit")


@pytest.mark.parametrize("restart", [False, True])
def test_a_model_that_does_not_fit_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    made = config(tmp_path, restart=restart)
    (tmp_path / "in" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    if restart:
        commit(made, Ledger(made.out), prepared(media("old.jpg")))
    before = sorted(path.read_bytes() for path in made.out.rglob("*.parquet"))
    monkeypatch.setattr(orchestrator, "Classifier", NoClassifier)
    with pytest.raises(UsageError):
        orchestrator.run(made)
    assert sorted(path.read_bytes() for path in made.out.rglob("*.parquet")) == before
    assert not (made.out / "run.json").exists()


def test_an_interrupted_replacement_leaves_no_row_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(tmp_path)
    commit(made, Ledger(made.out), prepared(media("a.jpg")), prepared(media("b.jpg")))
    committer = orchestrator._Committer(made, Ledger(made.out), StubClassifier())  # type: ignore[arg-type]
    committer.add(prepared(media("b.jpg", size=2)))
    committer.classify()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "write_table", interrupt)
        with pytest.raises(KeyboardInterrupt):
            committer.commit()
    committer.commit()  # What `finally` does next.
    commit(made, Ledger(made.out), prepared(media("b.jpg", size=2)))
    table = pq.ParquetDataset(made.out / "media").read().to_pandas()
    assert sorted(zip(table.media_path, table.size_bytes, strict=True)) == [("a.jpg", 1), ("b.jpg", 2)]


@pytest.mark.parametrize("gone", ["faces", "frames", "media"])
def test_a_part_that_lost_a_file_is_made_again(tmp_path: Path, gone: str) -> None:
    made = config(tmp_path)
    commit(made, Ledger(made.out), prepared(media("a.jpg")))
    (made.out / gone / "part-000001.parquet").unlink()
    assert Ledger(made.out).outstanding([media("a.jpg")], retry_failed=False) == [media("a.jpg")]


def test_files_of_others_stay(tmp_path: Path) -> None:
    made = config(tmp_path)
    commit(made, Ledger(made.out), prepared(media("a.jpg")))
    theirs = [made.out / "faces" / "part-00000-abc.snappy.parquet", made.out / ".mine.partial"]
    for path in theirs:
        path.write_bytes(b"mine")
    Ledger(made.out).tidy()
    clear_folder(made.out)
    assert sorted(path for path in made.out.rglob("*") if path.is_file()) == sorted(theirs)


@pytest.mark.parametrize(
    ("roots", "words"),
    [
        ({"": "/x/in"}, None),
        ({"": "/x/other"}, "input : /x/in -> /x/other"),
        ({"in": "/x/in", "more": "/x/more"}, "/x/in: named . -> in in the tables"),
    ],
)
def test_inputs_that_would_mix_up_names_are_refused(tmp_path: Path, roots: dict[str, str], words: str | None) -> None:
    made = config(tmp_path)
    Ledger(made.out).commit(to_tables([], EMOTIONS), made.result_settings(), {"": "/x/in"})
    if words is None:
        Ledger(made.out).check(made.result_settings(), roots)
        return
    with pytest.raises(UsageError, match=words):
        Ledger(made.out).check(made.result_settings(), roots)


def test_another_file_may_join_in(tmp_path: Path) -> None:
    made = config(tmp_path)
    Ledger(made.out).commit(to_tables([], EMOTIONS), made.result_settings(), {"a.mp4": "/x/a.mp4"})
    Ledger(made.out).check(made.result_settings(), {"a.mp4": "/x/a.mp4", "b.mp4": "/x/b.mp4"})


@pytest.mark.parametrize("before", [None, b"{}"])
def test_run_json_is_there_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    made = config(tmp_path)
    run_file = made.out / "run.json"
    if before is not None:
        made.out.mkdir()
        run_file.write_bytes(before)
    seen: list[dict[str, Any]] = []

    def look(*_: object) -> None:
        seen.append(json.loads(run_file.read_text()))
        if before is not None:
            raise UsageError("the weights do not fit")

    monkeypatch.setattr(orchestrator, "_process", look)
    if before is None:
        orchestrator.run(made)
        ended = json.loads(run_file.read_text())
        assert (ended["status"], ended.keys()) == ("done", seen[0].keys())
    else:
        with pytest.raises(UsageError):
            orchestrator.run(made)
        assert run_file.read_bytes() == before
    (running,) = seen
    assert (running["status"], running["ended"], running["throughput"]) == ("running", None, None)


def test_a_file_that_had_gone_and_is_back_is_read(tmp_path: Path) -> None:
    made = config(tmp_path)
    gone = replace(prepared(media("a.jpg")), failure=Failure(Stage.DECODE, Code.CHANGED, "a.jpg: has gone"))
    commit(made, Ledger(made.out), gone)
    assert Ledger(made.out).outstanding([media("a.jpg")], retry_failed=False) == [media("a.jpg")]


def test_a_defect_still_leaves_run_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(orchestrator, "_process", break_down)
    with pytest.raises(RuntimeError):
        orchestrator.run(config(tmp_path))
    assert '"status": "failed"' in (tmp_path / "out" / "run.json").read_text()


def committed_with_digest(made: ResolvedConfig, path: Path) -> Media:
    """A file that is done and whose digest is kept, as a run leaves it."""
    one = Media(str(path), path.name, "image", path.stat().st_size, path.stat().st_mtime_ns)
    ledger = Ledger(made.out)
    commit(made, ledger, replace(prepared(one), info=MediaInfo(digest=content_digest(str(path)))))
    ledger.digests.save()
    return one


def test_another_time_alone_does_not_make_a_file_new(tmp_path: Path) -> None:
    made = config(tmp_path)
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(range(256)) * 4000)
    one = committed_with_digest(made, path)
    hour = 3600 * 10**9
    for moved in (one.modified_ns + hour, one.modified_ns - hour, 0):
        assert Ledger(made.out).outstanding([replace(one, modified_ns=moved)], retry_failed=False) == []


@pytest.mark.parametrize("place", [0, 100, 1_023_999])
def test_another_content_of_the_same_size_makes_a_file_new(tmp_path: Path, place: int) -> None:
    made = config(tmp_path)
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(1_024_000))
    one = committed_with_digest(made, path)
    changed = bytearray(1_024_000)
    changed[place] = 1
    path.write_bytes(changed)
    later = replace(one, modified_ns=one.modified_ns + 10**6)
    assert Ledger(made.out).outstanding([later], retry_failed=False) == [later]


def test_without_its_digest_a_file_of_another_time_is_read_again(tmp_path: Path) -> None:
    made = config(tmp_path)
    path = tmp_path / "a.jpg"
    path.write_bytes(b"hello")
    later = replace(committed_with_digest(made, path), modified_ns=1)
    (made.out / DIGESTS_FILE).write_bytes(b"no Parquet")
    assert Ledger(made.out).outstanding([later], retry_failed=False) == [later]


def test_a_folder_of_the_earlier_schema_is_refused_in_plain_words(tmp_path: Path) -> None:
    made = config(tmp_path)
    tables = to_tables([], EMOTIONS)
    tables["media"] = tables["media"].drop_columns(["recorded_at", "stream_index"])
    commit_part(made.out, 1, tables, {**made.result_settings(), "schema_version": 1}, {"": "/x/in"})
    with pytest.raises(UsageError, match=r"holds tables of schema version 1, .* writes version 2; use another --out"):
        Ledger(made.out).check(made.result_settings(), {"": "/x/in"})


@pytest.mark.parametrize("filters", [{"include": ("*.mkv",)}, {"exclude": ("*",)}])
def test_a_filter_that_leaves_nothing_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: dict[str, Any]
) -> None:
    made = config(tmp_path, **filters)
    (tmp_path / "in" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    monkeypatch.setattr(orchestrator, "create_detector", lambda config: None)
    with pytest.raises(UsageError, match=r"no media left; .* leave out all 1 files there"):
        orchestrator.run(made)
    assert not made.out.exists()


def test_what_was_left_out_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = config(tmp_path, include=("*.jpg", "*.mkv"))
    for name in ("a.jpg", "b.LRV", "c.LRV", "@eaDir/d.jpg"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"\xff\xd8\xff")
    with caplog.at_level("INFO"):
        orchestrator._report_left_out(made, orchestrator.survey(made.inputs, made.include))
    assert [record.getMessage() for record in caplog.records] == [
        "3 side files left out (2 .lrv, 1 @eaDir/); --all-files takes them",
        "--include *.mkv matches no file",
    ]
