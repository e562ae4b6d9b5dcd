"""Files of object stores, against an S3 on loopback: what is read, what is written, and what is never said."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_batch import storage, stores
from fer_batch.atomic import write_atomic, write_json
from fer_batch.errors import UsageError
from fer_batch.media.video import open_video
from fer_batch.pipeline.discover import discover, input_prefixes, outside, survey
from fer_batch.records import Code
from fer_batch.stores import Status
from fer_batch.tables import lock as lock_module
from fer_batch.tables.layout import LOCK_FILE
from fer_batch.tables.lock import HeartbeatLock, SystemLock, lock_folder
from fer_batch.tables.parts import part_path, part_paths
from tests.helpers.clips import SAMPLES, make_video, steady
from tests.helpers.s3 import needs_s3, s3_on_loopback


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_on_loopback(monkeypatch):
        yield "s3://bucket"


def upload(bucket: str, name: str, content: bytes) -> str:
    storage.put(storage.location(f"{bucket}/{name}"), content)
    return f"{bucket}/{name}"


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hunter2@bucket/x",
        "https://user:hunter2@host/x",
        "s3://bucket/x.mp4?X-Amz-Signature=hunter2",
        "az://box/x?sv=1&sig=hunter2",
        "ftp://host/hunter2",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        storage.location(url)
    assert "hunter2" not in str(raised.value)


def test_local_paths_stay_paths(tmp_path: Path) -> None:
    assert storage.location("a/b") == Path("a/b")
    assert type(storage.location("a/b")) is type(Path("a/b"))
    assert isinstance(lock_folder(tmp_path), SystemLock)


def test_a_tilde_that_begins_a_path_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    paths = [storage.location(path) for path in ("~", "~/a", "~a", "a/~")]
    assert paths == [Path("/home/ada"), Path("/home/ada/a"), Path("~a"), Path("a/~")]


def test_an_empty_path_is_refused_and_not_taken_for_the_working_folder() -> None:
    with pytest.raises(UsageError, match="'': is empty; name a file or a folder"):
        storage.location("")


@pytest.mark.parametrize("missing", ["upath", "s3fs"])
def test_what_is_not_installed_is_told_with_the_line_that_installs_it(missing: str) -> None:
    pytest.importorskip("upath")
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"  # As good as not installed.
        "from fer_batch.cli import app\n"
        "app(['run', 's3://bucket/in', '--out', 'out'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert 'pip install ".[cloud]"' in " ".join(done.stderr.split())


@needs_s3
def test_a_bucket_is_walked_like_a_folder(bucket: str, tmp_path: Path) -> None:
    photo = (SAMPLES / "photos" / "astronaut.jpg").read_bytes()
    files = {"a.jpg": photo, "deep/er/b.bin": photo, ".hidden/c.jpg": photo, "notes.txt": b"text", "empty.mp4": b""}
    for name, content in files.items():
        upload(bucket, f"in/{name}", content)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    upload(bucket, "in/marker/", b"")  # A folder as consoles make it.
    upload(bucket, "input/other.jpg", photo)  # Not below `in`.
    there, here = discover([f"{bucket}/in"]), discover([str(tmp_path)])
    assert [(media.path, media.media_type, media.size_bytes, media.failure) for media in there] == [
        (media.path, media.media_type, media.size_bytes, media.failure) for media in here
    ]
    assert [media.path for media in there] == ["a.jpg", "deep/er/b.bin", "empty.mp4"]
    for media in there:
        assert storage.status(media.file) == Status(media.size_bytes, media.modified_ns)
    assert [media.path for media in discover([f"{bucket}/in/a.jpg"])] == ["a.jpg"]
    assert input_prefixes([f"{bucket}/in", str(tmp_path)]) == {"in": f"{bucket}/in", tmp_path.name: str(tmp_path)}
    assert not outside(storage.location(f"{bucket}/in/out"), [f"{bucket}/in"])
    assert outside(storage.location(f"{bucket}/input"), [f"{bucket}/in"])


@needs_s3
@pytest.mark.parametrize(
    ("container", "share"), [("mp4", 0.6), ("mkv", 0.6), ("avi", 2.0)]
)  # AVI can't be sought here.
def test_a_video_is_read_in_ranges_and_never_copied_first(
    container: str, share: float, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 240, 320), dtype=np.uint8)  # Nothing to compress.
    path = make_video(tmp_path / f"a.{container}", steady(25, 200), size=(320, 240), gop=25, shown=list(noise))
    url = upload(bucket, path.name, path.read_bytes())
    monkeypatch.setattr(stores, "_RANGE_BYTES", 65536)
    fetched: list[int] = []
    import s3fs

    fetch = s3fs.core.S3File._fetch_range

    def counted(file: Any, start: int, end: int) -> bytes:
        fetched.append(end - start)
        return fetch(file, start, end)

    monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", counted)
    with open_video(url) as there, open_video(str(path)) as here:
        for mine, theirs in zip(there.frames(start=6.0), here.frames(start=6.0), strict=True):
            assert mine.time == theirs.time
            assert (mine.luma() == theirs.luma()).all()
        assert there.info(None) == here.info(None)
    assert 0 < sum(fetched) < path.stat().st_size * share  # The last 2 of 8 seconds, and what lies around them.


@needs_s3
def test_side_files_of_a_bucket_are_left_out_as_those_of_a_folder_are(bucket: str, tmp_path: Path) -> None:
    photo = (SAMPLES / "photos" / "astronaut.jpg").read_bytes()
    movie = make_video(tmp_path / "a.mov", steady(25, 5)).read_bytes()
    live = movie + b"com.apple.quicktime.content.identifier"
    files = {"GX010001.LRV": movie, "@eaDir/a.jpg": photo, "one.mov": movie, "one.jpg": photo}
    files |= {"IMG_1.JPG": photo, "IMG_1.MOV": live, "2/IMG_2.HEIC": photo, "2/img_2.mov": movie, "IMG_2.MOV": movie}
    for name, content in files.items():
        upload(bucket, f"in/{name}", content)
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    there, here = survey([f"{bucket}/in"]), survey([str(tmp_path / "in")])
    kept = ["2/IMG_2.HEIC", "IMG_1.JPG", "IMG_2.MOV", "one.jpg", "one.mov"]
    assert [media.path for media in there.media] == [media.path for media in here.media] == kept
    assert there.side_files == here.side_files == {".lrv": 1, ".mov": 2, "@eaDir/": 1}
    assert len(survey([f"{bucket}/in"], all_files=True).media) == len(files)
    assert [media.path for media in discover([f"{bucket}/in/IMG_1.MOV"])] == ["IMG_1.MOV"]


@needs_s3
@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.mp4"])
def test_joined_recordings_in_a_bucket_are_read_as_those_in_a_folder_are(
    bucket: str, tmp_path: Path, name: str
) -> None:
    path = make_video(tmp_path / name, steady(25, 50), gop=25)
    path.write_bytes(2 * path.read_bytes())
    url = upload(bucket, name, path.read_bytes())
    with open_video(url) as there, open_video(str(path)) as here:
        assert [frame.time for frame in there.frames()] == [frame.time for frame in here.frames()]
        found = there.partial_failure(read_to_end=True)
        assert found == here.partial_failure(read_to_end=True)
    assert found is not None
    assert found.code == Code.TIME_JUMPS


@needs_s3
def test_what_is_written_is_there_whole(bucket: str) -> None:
    out = storage.location(f"{bucket}/out")
    write_atomic(part_path(out, "media", 1), lambda temporary: temporary.write_bytes(b"all"))
    write_json(out / "run.json", {"a": 1})
    assert part_paths(out, "media") == [part_path(out, "media", 1)]
    assert bytes(storage.read_whole(part_path(out, "media", 1))) == b"all"
    with pytest.raises(ZeroDivisionError):
        write_atomic(part_path(out, "media", 2), lambda temporary: temporary.write_bytes(bytes(1 // 0)))
    assert storage.list_names(out / "media") == ["part-000001.parquet"]
    assert storage.list_names(out / "faces") == []


@needs_s3
def test_a_store_out_of_reach_is_told(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    with pytest.raises(OSError, match="bucket"):
        storage.status("s3://no-such-bucket/a.jpg")
    with pytest.raises(FileNotFoundError):
        storage.status(f"{bucket}/gone.jpg")
    assert not storage.exists(f"{bucket}/gone.jpg")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(lock_module, "STALE_AFTER_S", 2.0)


@needs_s3
@pytest.mark.usefixtures("quick")
def test_a_held_folder_is_refused_until_it_is_let_go(bucket: str) -> None:
    out = storage.location(f"{bucket}/out")
    with lock_folder(out) as first:
        assert isinstance(first, HeartbeatLock)
        with (
            pytest.raises(UsageError, match=f"another process is writing there .process {os.getpid()} on"),
            lock_folder(out),
        ):
            pass
        first.check()
        assert storage.list_names(out) == [LOCK_FILE]
    assert storage.list_names(out) == []
    with lock_folder(out) as second:
        second.check()


@needs_s3
@pytest.mark.usefixtures("quick")
def test_a_stale_lock_is_replaced_and_its_holder_does_not_come_back(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = storage.location(f"{bucket}/out")
    dead = HeartbeatLock(out)
    with monkeypatch.context() as patch:
        patch.setattr(dead, "_send_heartbeats", lambda: None)
        dead.__enter__()
    started = time.monotonic()
    with lock_folder(out) as heir:
        assert time.monotonic() - started >= 2.0
        heir.check()
        with pytest.raises(OSError, match="no longer held"):
            dead.check()
        dead.__exit__(None, None, None)
        time.sleep(0.5)
        heir.check()  # The end of the old holder removed nothing.


@needs_s3
@pytest.mark.usefixtures("quick")
def test_of_two_who_follow_the_same_dead_run_one_gets_the_folder(bucket: str) -> None:
    upload(bucket, f"out/{LOCK_FILE}", b"process 1 on elsewhere, 0\n7")
    held, refused = [], []

    def try_it() -> None:
        try:
            with lock_folder(storage.location(f"{bucket}/out")):
                held.append(1)
                time.sleep(1.0)
        except UsageError:
            refused.append(1)

    threads = [threading.Thread(target=try_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 1)


@needs_s3
def test_a_run_that_lost_its_folder_stops_writing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_S", 0.2)
    with lock_folder(storage.location(f"{bucket}/out")) as lock:
        upload(bucket, f"out/{LOCK_FILE}", b"process 1 on elsewhere, 0\n1")
        time.sleep(1.0)
        with pytest.raises(OSError, match="taken over by process 1 on elsewhere"):
            lock.check()
    assert bytes(storage.read_whole(storage.location(f"{bucket}/out/{LOCK_FILE}"))).startswith(b"process 1 on")
