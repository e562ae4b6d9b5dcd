"""What a run commits, what it leaves to do, and what run.json says meanwhile."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fer_batch.config import ResolvedConfig
from fer_batch.emotion.base import CropClassifier
from fer_batch.emotions import EMOTIONS
from fer_batch.errors import UsageError
from fer_batch.pipeline import run as orchestrator
from fer_batch.pipeline.part_writer import PartWriter
from fer_batch.records import (
    Code,
    Detection,
    Failure,
    FileResult,
    FrameChunk,
    Media,
    MediaInfo,
    SampledFrame,
    Stage,
)
from fer_batch.storage import content_digest
from fer_batch.tables import ledger as ledger_module
from fer_batch.tables.commit import Provenance, commit_part
from fer_batch.tables.layout import DIGESTS_FILE
from fer_batch.tables.ledger import Ledger, clear_folder
from fer_batch.tables.schema import to_tables
from tests.helpers.run_config import config
from tests.helpers.worker import StubClassifier


def media(name: str, kind: str = "image", size: int = 1) -> Media:
    return Media(name, name, kind, size, 0)  # type: ignore[arg-type]


def result(file: Media) -> FileResult:
    return FileResult(file, MediaInfo(), None, 0.0)


def writer_of(
    made: ResolvedConfig, classifier: CropClassifier | None = None, ledger: Ledger | None = None
) -> PartWriter:
    provenance = Provenance(made.result_settings(), {"": "/in"})
    return PartWriter(made, ledger or Ledger(made.out), classifier or StubClassifier(), provenance)


def commit(made: ResolvedConfig, *messages: FrameChunk | FileResult, ledger: Ledger | None = None) -> None:
    writer = writer_of(made, ledger=ledger)
    for message in messages:
        writer.add(message)
    writer.classify()
    writer.commit()


def test_the_ledger_knows_what_is_left(tmp_path: Path) -> None:
    made = config(tmp_path)
    failed = replace(result(media("bad.jpg")), failure=Failure(Stage.DECODE, Code.INVALID_DATA, "bad.jpg: bad"))
    commit(made, result(media("a.jpg")), failed)
    found = [media("a.jpg"), media("bad.jpg"), media("new.jpg")]
    ledger = Ledger(made.out)
    assert [file.path for file in ledger.outstanding(found, retry_failed=False)] == ["new.jpg"]
    assert [file.path for file in ledger.outstanding(found, retry_failed=True)] == ["bad.jpg", "new.jpg"]
    touched = replace(media("a.jpg"), modified_ns=5_000)
    assert ledger.outstanding([touched], retry_failed=False) == [touched]


def test_new_rows_replace_old_ones_and_spare_their_neighbours(tmp_path: Path) -> None:
    made = config(tmp_path)
    commit(made, result(media("a.jpg")), result(media("b.jpg")))
    commit(made, result(media("b.jpg", size=2)))
    table = pq.ParquetDataset(made.out / "media").read().to_pandas().set_index("media_path")
    assert dict(table.size_bytes) == {"a.jpg": 1, "b.jpg": 2}
    commit(made, result(media("a.jpg", size=3)))  # Empties the first part.
    assert [path.name for path in sorted((made.out / "media").iterdir())] == [
        "part-000002.parquet",
        "part-000003.parquet",
    ]


@pytest.mark.parametrize("there", [("faces",), ("faces", "frames")])
def test_a_part_without_its_media_file_does_not_count(tmp_path: Path, there: tuple[str, ...]) -> None:
    made = config(tmp_path)
    commit(made, result(media("a.jpg")))
    for name in {"faces", "frames", "media"} - set(there):
        (made.out / name / "part-000001.parquet").unlink()
    (made.out / "faces" / ".part-000002.parquet.fer-batch-partial").write_bytes(b"half")
    ledger = Ledger(made.out)
    assert ledger.entries.num_rows == 0
    ledger.clean_up()
    assert [path for path in made.out.rglob("*") if path.is_file()] == []


def video(file: Media, count: int, per_chunk: int, attempt: int = 1) -> list[FrameChunk | FileResult]:
    """A video of `count` frames, the nth with n % 3 faces, in chunks of so many frames."""
    frames = [
        SampledFrame(n, Fraction(n), 64, 48, tuple(Detection(10.0 * face, n, 9, 9) for face in range(n % 3)))
        for n in range(count)
    ]
    parts = [tuple(frames[start : start + per_chunk]) for start in range(0, count, per_chunk)]
    counts = [sum(len(frame.faces) for frame in part) for part in parts]
    chunks = [
        FrameChunk(file, part, np.zeros((faces, 48, 48), np.uint8), attempt=attempt)
        for part, faces in zip(parts, counts, strict=True)
    ]
    return [*chunks, FileResult(file, MediaInfo(), None, 0.0, count, sum(counts), attempt=attempt)]


def test_chunks_wait_for_a_full_batch_while_no_file_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long video nothing can be written before its end, so batches need not be half empty."""
    monkeypatch.setattr(PartWriter, "_is_due", lambda self: True)
    made, sizes = config(tmp_path, batch_size=3), list[int]()

    class Counting(StubClassifier):
        def __call__(self, crops: np.ndarray) -> np.ndarray:
            sizes.append(len(crops))
            return super().__call__(crops)

    writer = writer_of(made, Counting())
    for message in video(media("a.mp4", "video"), 20, 2):
        writer.add(message)
    assert sizes == [12, 7]
    assert len(rows(made.out)["faces"]) == 19


def rows(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: pq.ParquetDataset(out / name).read().to_pylist() for name in ("faces", "frames", "media")}


def test_chunks_make_the_rows_of_the_whole_video(tmp_path: Path) -> None:
    made, chunked = config(tmp_path), config(tmp_path, out=tmp_path / "chunked", batch_size=1)
    a, b = media("a.mp4", "video"), media("b.mp4", "video")
    commit(made, *video(a, 20, 20), *video(b, 20, 20))
    # Mixed up with another video's, and with those of an attempt that was lost.
    lost = video(a, 20, 3)[:-1]
    pairs = zip(video(b, 20, 2), video(a, 20, 2, attempt=2), strict=True)
    commit(chunked, *lost, *(message for pair in pairs for message in pair))
    assert rows(chunked.out) == rows(made.out)
    assert len(rows(made.out)["faces"]) == 2 * 19


def test_an_unfinished_video_has_no_rows(tmp_path: Path) -> None:
    made = config(tmp_path)
    a = media("a.mp4", "video")
    failure = Failure(Stage.WORK, Code.WORKER_DIED, "a.mp4: died")
    failed = FileResult(a, MediaInfo(), failure, 0.0, unusable=True)
    commit(made, *video(a, 20, 2)[:-1])
    assert not made.out.exists()
    commit(made, *video(a, 20, 2)[:-1], failed)
    assert [len(table) for table in rows(made.out).values()] == [0, 0, 1]


def test_crops_are_let_go_of_once_they_are_classified(tmp_path: Path) -> None:
    writer = writer_of(config(tmp_path, batch_size=1))
    for message in video(media("a.mp4", "video"), 20, 20):
        writer.add(message)
    writer.classify()
    assert writer._waiting == []
    assert [len(each.chunk.crops) for file in writer._finished for each in file.chunks] == []
    assert len(writer._tables) == 1


class NoClassifier(StubClassifier):
    """A classifier whose model does not fit."""

    def load(self) -> None:
        raise UsageError("the weights do not fit")


@pytest.mark.parametrize("restart", [False, True])
def test_a_model_that_does_not_fit_touches_nothing(tmp_path: Path, restart: bool) -> None:
    made = config(tmp_path, restart=restart)
    (tmp_path / "in" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    if restart:
        commit(made, result(media("old.jpg")))
    before = sorted(path.read_bytes() for path in made.out.rglob("*.parquet"))
    with pytest.raises(UsageError):
        orchestrator.run(made, classifier=NoClassifier())
    assert sorted(path.read_bytes() for path in made.out.rglob("*.parquet")) == before
    assert not (made.out / "run.json").exists()


def test_an_interrupted_replacement_leaves_no_row_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(tmp_path)
    commit(made, result(media("a.jpg")), result(media("b.jpg")))
    writer = writer_of(made)
    writer.add(result(media("b.jpg", size=2)))
    writer.classify()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "write_table", interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.commit()
    writer.commit()  # What `finally` does next.
    commit(made, result(media("b.jpg", size=2)))
    table = pq.ParquetDataset(made.out / "media").read().to_pandas()
    assert sorted(zip(table.media_path, table.size_bytes, strict=True)) == [("a.jpg", 1), ("b.jpg", 2)]


@pytest.mark.parametrize("gone", ["faces", "frames", "media"])
def test_a_part_that_lost_a_file_is_made_again(tmp_path: Path, gone: str) -> None:
    made = config(tmp_path)
    commit(made, result(media("a.jpg")))
    (made.out / gone / "part-000001.parquet").unlink()
    assert Ledger(made.out).outstanding([media("a.jpg")], retry_failed=False) == [media("a.jpg")]


def test_files_of_others_stay(tmp_path: Path) -> None:
    made = config(tmp_path)
    commit(made, result(media("a.jpg")))
    theirs = [made.out / "faces" / "part-00000-abc.snappy.parquet", made.out / ".mine.partial"]
    for path in theirs:
        path.write_bytes(b"mine")
    Ledger(made.out).clean_up()
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
    gone = replace(result(media("a.jpg")), failure=Failure(Stage.DECODE, Code.CHANGED, "a.jpg: has gone"))
    commit(made, gone)
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
    file = Media(str(path), path.name, "image", path.stat().st_size, path.stat().st_mtime_ns)
    ledger = Ledger(made.out)
    commit(made, FileResult(file, MediaInfo(digest=content_digest(str(path))), None, 0.0), ledger=ledger)
    ledger.digests.save()
    return file


def test_another_time_alone_does_not_make_a_file_new(tmp_path: Path) -> None:
    made = config(tmp_path)
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(range(256)) * 4000)
    file = committed_with_digest(made, path)
    hour = 3600 * 10**9
    for moved in (file.modified_ns + hour, file.modified_ns - hour, 0):
        assert Ledger(made.out).outstanding([replace(file, modified_ns=moved)], retry_failed=False) == []


@pytest.mark.parametrize("place", [0, 100, 1_023_999])
def test_another_content_of_the_same_size_makes_a_file_new(tmp_path: Path, place: int) -> None:
    made = config(tmp_path)
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(1_024_000))
    file = committed_with_digest(made, path)
    changed = bytearray(1_024_000)
    changed[place] = 1
    path.write_bytes(changed)
    later = replace(file, modified_ns=file.modified_ns + 10**6)
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
        orchestrator.report_left_out(made, orchestrator.survey(made.inputs, made.include))
    assert [record.getMessage() for record in caplog.records] == [
        "3 side files left out (2 .lrv, 1 @eaDir/); --all-files takes them",
        "--include *.mkv matches no file",
    ]
