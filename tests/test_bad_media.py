"""Media that nobody has checked: cut, flipped, absurd. What can be read is kept and marked, what can't has a code; no
crash, no hang, no file without a verdict, and no loss in silence."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, features

from fer_batch.config import DetectorConfig, Sampling
from fer_batch.pipeline import chunks as chunks_module
from fer_batch.pipeline.discover import discover
from fer_batch.pipeline.scheduler import Scheduler
from fer_batch.pipeline.worker import Settings, Worker
from fer_batch.records import Code, FileResult, FrameChunk, Task
from fer_batch.runners.base import Outcome
from tests.helpers.clips import (  # fmt: skip
    SAMPLES,
    SIZE,
    cut,
    make_big_png,
    make_hdr,
    make_interlaced,
    make_moving,
    make_video,
    mutated,
    numbered,
    steady,
)
from tests.helpers.run_config import config
from tests.helpers.worker import WholeFile, failed, merged, photo, prepare, run_workers, whole_files

SMALL: dict[str, Callable[[Path], Path]] = {
    "a.mp4": lambda path: make_video(path, steady(25, 50), b_frames=2, faststart=True),
    "b.mkv": lambda path: make_video(path, steady(25, 50), codec="libvpx-vp9", tick=Fraction(1, 1000)),
    "c.avi": lambda path: make_video(path, steady(25, 50), codec="mpeg4", tick=Fraction(1, 25)),
    "d.gif": lambda path: make_moving(path, [100] * 10),
    "e.jpg": photo,
}
#: What a damaged file may come to, whether it is kept in part or not.
OF_THE_FILE = {
    Code.EMPTY_FILE, Code.INVALID_DATA, Code.NO_VIDEO_STREAM, Code.NO_FRAMES, Code.NO_TIMESTAMPS, Code.UNSUPPORTED,
    Code.TOO_LARGE, Code.DAMAGED, Code.TRUNCATED, Code.TIME_JUMPS, Code.UNLIKELY_RATE, Code.OTHER_STREAMS,
    Code.OTHER_PAGES,
}  # fmt: skip


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("name", ["a.mp4", "b.mkv", "c.avi", "d.gif", "e.jpg", "f.png", "g.webp"])
def test_nothing_is_lost_in_silence_wherever_a_file_is_cut(tmp_path: Path, name: str) -> None:
    path = SMALL.get(name, photo)(tmp_path / name)
    content = path.read_bytes()
    (whole,) = prepare(path, sampling=Sampling(fps=5.0))
    assert whole.failure is None
    for twentieth in range(20):
        path.write_bytes(content)
        (part,) = prepare(cut(path, twentieth / 20), sampling=Sampling(fps=5.0))
        if part.failure is None:  # A second less than is stated is no loss yet: many containers round up.
            assert part.frames == whole.frames[: len(part.frames)]
            assert len(part.frames) >= len(whole.frames) - (6 if name == "b.mkv" else 0)
        else:
            assert part.failure.code in OF_THE_FILE
            assert len(part.frames) <= len(whole.frames)


@pytest.mark.usefixtures("detector")
def test_a_film_whose_size_changes_half_way(tmp_path: Path) -> None:
    first = make_video(tmp_path / "1.ts", steady(25, 50), size=(64, 48))
    second = make_video(tmp_path / "2.ts", [2 + time for time in steady(25, 50)], size=(128, 96))
    (tmp_path / "a.ts").write_bytes(first.read_bytes() + second.read_bytes())
    (prepared,) = prepare(tmp_path / "a.ts", sampling=Sampling(fps=2.0))
    assert [(frame.width, frame.height) for frame in prepared.frames] == [(64, 48)] * 4 + [(128, 96)] * 4
    assert (prepared.info.width, prepared.info.height) == (64, 48)


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("mode", ["fps", "every"])
def test_times_that_jump_back_are_told(tmp_path: Path, mode: str) -> None:
    first = make_video(tmp_path / "1.ts", steady(25, 75))
    (tmp_path / "a.ts").write_bytes(2 * first.read_bytes())  # As two recordings that were put together.
    (prepared,) = prepare(tmp_path / "a.ts", sampling=Sampling(mode, fps=1.0, every=25))  # type: ignore[arg-type]
    assert prepared.failure is not None
    assert (prepared.failed, prepared.failure.code) == (False, Code.TIME_JUMPS)
    assert [frame.time for frame in prepared.frames][:3] == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("detector")
def test_times_that_jump_ahead_cost_nothing(tmp_path: Path) -> None:
    times = [*steady(25, 50), *(1_000_000 + time for time in steady(25, 50))]
    video = make_video(tmp_path / "a.mkv", times, tick=Fraction(1, 1000))
    for sampling in (Sampling(), Sampling(fast=True)):
        prepared, _ = merged(video, sampling)
        expected = [0.0, 1.0, 1_000_000.0, 1_000_001.0]
        bound = 0.25 if sampling.fast else 0.0
        assert [float(frame.time or 0) for frame in prepared.frames] == pytest.approx(expected, abs=bound, rel=0)


def absurdly_long(path: Path, stated: int) -> Path:
    """A film of two seconds that states another length: a number of ticks, or of seconds in a .mkv."""
    if path.suffix == ".mkv":
        content = bytearray(make_video(path, steady(25, 50), tick=Fraction(1, 1000)).read_bytes())
        at = content.index(b"\x44\x89\x88") + 3  # The Duration element, in milliseconds.
        content[at : at + 8] = struct.pack(">d", 1000.0 * stated)
        path.write_bytes(content)
        return path
    content = bytearray(make_video(path, steady(25, 50)).read_bytes())
    for box, place in ((b"mdhd", 20), (b"mvhd", 20), (b"tkhd", 24)):
        at = content.index(box) + place
        content[at : at + 4] = struct.pack(">I", stated)
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("stated", [0xFFFFFFFE, 0x7FFFFFFF])
def test_an_absurd_length_is_told_and_waited_for_by_nobody(tmp_path: Path, stated: int) -> None:
    (prepared,) = prepare(absurdly_long(tmp_path / "a.mp4", stated))
    assert [frame.time for frame in prepared.frames] == [0, 1]
    assert prepared.failure is None or prepared.failure.code is Code.TRUNCATED


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_an_absurd_length_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """However a run cuts long films up and counts its progress: it takes no longer, and gives the same frames."""
    made = config(tmp_path, workers=2, timeout=60.0)
    path = absurdly_long(tmp_path / "in" / name, 0x7FFFFFFF)
    (file,) = run_workers(made)
    assert [frame.time for frame in file.frames] == [0, 1]
    monkeypatch.setattr(chunks_module, "SECONDS_PER_CHUNK", 0.0)
    settings = Settings(Sampling(fps=5.0), DetectorConfig())
    *chunks, last = Worker(settings).process(Task(tuple(discover([str(path)]))))
    assert isinstance(last, FileResult)
    assert (len(chunks), last.frames_sampled) == (10, 10)
    # An MP4's table of frames and a Matroska stream's tag are believed, where the header says otherwise.
    assert all(isinstance(chunk, FrameChunk) and chunk.duration_s == 2.0 for chunk in chunks)


@pytest.mark.usefixtures("detector")
def test_twenty_thousand_pixels_squared(tmp_path: Path) -> None:
    assert failed(make_big_png(tmp_path / "a.png", 20_000, 20_000)).code is Code.TOO_LARGE


@pytest.mark.usefixtures("detector")
def test_a_bomb_in_a_text_beside_the_pixels(tmp_path: Path) -> None:
    content = photo(tmp_path / "a.png").read_bytes()
    text = b"zTXt" + b"bomb\0\0" + zlib.compress(bytes(200_000_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    place = 8 + 25  # Behind the signature and the header.
    (tmp_path / "a.png").write_bytes(content[:place] + chunk + content[place:])
    (prepared,) = prepare(tmp_path / "a.png")
    assert prepared.failure is None or prepared.failure.code is Code.INVALID_DATA


@pytest.mark.usefixtures("detector")
def test_a_film_of_odd_size(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", [0, 1], codec="ffv1", tick=Fraction(1, 1000), size=(63, 47))
    (prepared,) = prepare(path)
    assert prepared.failure is None
    assert [(frame.width, frame.height) for frame in prepared.frames] == [(63, 47)] * 2


@pytest.mark.usefixtures("detector")
def test_a_film_of_one_pixel(tmp_path: Path) -> None:
    shown = 2 * [np.full((1, 1), 128, np.uint8)]
    path = make_video(tmp_path / "a.mkv", [0, 1], codec="ffv1", tick=Fraction(1, 1000), size=(1, 1), shown=shown)
    (prepared,) = prepare(path)
    assert prepared.failure is None
    assert [(frame.width, frame.height) for frame in prepared.frames] == [(1, 1)] * 2


def look(path: Path, fps: float = 25.0) -> WholeFile:
    """A short file as a worker with the embedded detector sees it, its faces tracked."""
    settings = Settings(Sampling(fps=fps), DetectorConfig("embedded"))
    task = Task(tuple(discover([str(path)])))
    scheduler = Scheduler([task], window=1)
    sent = Worker(settings).process(task)
    (file,) = whole_files(ready for message in sent for ready in scheduler.handle(Outcome(task, message)))
    return file


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
@pytest.mark.parametrize(("codec", "name"), [("libx265", "a.mp4"), ("libsvtav1", "a.mkv")])
def test_a_face_in_high_dynamic_range(tmp_path: Path, transfer: str, codec: str, name: str) -> None:
    path = make_hdr(tmp_path / name, transfer, codec)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.format.name, int(frame.color_trc)) == ("yuv420p10le", {"pq": 16, "hlg": 18}[transfer])
    prepared = look(path)
    assert prepared.failure is None
    assert [len(frame.faces) for frame in prepared.frames] == [1] * 5
    assert prepared.crops.std() > 20  # Neither washed out nor black.


def test_a_moving_face_in_an_interlaced_film(tmp_path: Path) -> None:
    path = make_interlaced(tmp_path / "a.mkv", 10)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    prepared = look(path)
    assert prepared.failure is None
    assert [frame.time for frame in prepared.frames] == steady(25, 10)
    assert [len(frame.faces) for frame in prepared.frames] == [1] * 10
    assert {face.track_id for frame in prepared.frames for face in frame.faces} == {0}


@pytest.mark.usefixtures("detector")
def test_a_film_with_a_cover_gives_the_film(tmp_path: Path) -> None:
    make_video(tmp_path / "film.mp4", steady(25, 50))
    with (
        av.open(str(tmp_path / "film.mp4")) as film,
        av.open(str(tmp_path / "a.mp4"), "w") as output,
    ):
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = output.add_stream_from_template(film.streams.video[0])
        picture = av.VideoFrame.from_ndarray(numbered(0, (640, 480)), format="gray").reformat(format="yuvj420p")
        output.mux(cover.encode(picture))
        output.mux(cover.encode(None))
        for packet in film.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    (prepared,) = prepare(tmp_path / "a.mp4")
    assert [(frame.time, frame.width) for frame in prepared.frames] == [(0, SIZE[0]), (1, SIZE[0])]


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize(("name", "index"), [("c.avi", b"idx1"), ("b.mkv", b"\x1c\x53\xbb\x6b")])
def test_a_missing_index_costs_no_frame(tmp_path: Path, name: str, index: bytes) -> None:
    path = SMALL[name](tmp_path / name)
    (whole,) = prepare(path, sampling=Sampling(fps=5.0))
    content = path.read_bytes()
    for sampling in (Sampling(fps=5.0), Sampling(fps=5.0, start=1.0)):  # A start would be sought with it.
        path.write_bytes(content[: content.rindex(index)])
        (prepared,) = prepare(path, sampling=sampling)
        wanted = [frame.time for frame in whole.frames if frame.time is not None and frame.time >= sampling.start]
        assert [frame.time for frame in prepared.frames] == wanted
        assert prepared.failure is None


HEADERS = {
    "png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff\xe0", "gif": b"GIF89a", "tiff": b"II*\0",
    "bmp": b"BM0000\0\0\0\0",
    "webp": b"RIFF0000WEBPVP8 ", "avi": b"RIFF0000AVI LIST", "mkv": b"\x1a\x45\xdf\xa3", "heic": b"\0\0\0\x1cftypheic",
    "avif": b"\0\0\0\x1cftypavif", "mp4": b"\0\0\0\x1cftypisom", "mpeg": b"\0\0\x01\xba",
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
}  # fmt: skip


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("name", SMALL)
def test_the_header_of_another_kind(tmp_path: Path, name: str) -> None:
    content = SMALL[name](tmp_path / name).read_bytes()
    for kind, header in HEADERS.items():
        path = tmp_path / f"{kind}{Path(name).suffix}"
        path.write_bytes(header + content[len(header) :])
        (prepared,) = prepare(path)
        assert prepared.frames or prepared.failure is not None, kind
        assert prepared.failure is None or prepared.failure.code in OF_THE_FILE, kind


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
def test_avif_still_moving_and_cut(tmp_path: Path) -> None:
    photograph = Image.open(SAMPLES / "photos" / "astronaut.jpg")
    photograph.save(tmp_path / "a.avif")
    still = look(tmp_path / "a.avif")
    assert (still.media.media_type, [len(frame.faces) for frame in still.frames]) == ("image", [1])
    assert cut(tmp_path / "a.avif", 0.5).exists()
    broken = look(tmp_path / "a.avif")
    assert broken.failure is not None
    assert (broken.failed, broken.failure.code) == (True, Code.INVALID_DATA)
    others = [photograph.rotate(angle) for angle in (4, 8)]
    photograph.save(tmp_path / "b.avif", save_all=True, append_images=others, duration=500)
    moving = look(tmp_path / "b.avif", fps=2.0)
    assert (moving.media.media_type, [len(frame.faces) for frame in moving.frames]) == ("video", [1, 1, 1])


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
@pytest.mark.usefixtures("detector")
def test_the_transparency_of_a_moving_avif_is_no_other_video_stream(tmp_path: Path) -> None:
    first, *others = [Image.fromarray(numbered(number)).convert("RGBA") for number in range(5)]
    for picture in (first, *others):
        picture.putalpha(128)
    first.save(tmp_path / "a.avif", save_all=True, append_images=others, duration=500)
    (prepared,) = prepare(tmp_path / "a.avif")
    assert (len(prepared.frames), prepared.failure) == (3, None)


def assert_mutations_have_results(tmp_path: Path, count: int) -> None:
    """Mutate small files and have workers with a deadline read them, as in a run."""
    rng = random.Random(1)
    made = config(tmp_path, workers=2, timeout=60.0, sampling=Sampling(fps=5.0))
    originals = [(name, make(tmp_path / name).read_bytes()) for name, make in SMALL.items()]
    for number in range(count):
        name, content = originals[number % len(originals)]
        (tmp_path / "in" / f"{number:04}{name}").write_bytes(mutated(content, rng))
    files = run_workers(made)
    assert len({file.media.path for file in files}) == len(files) == count
    codes = {file.failure.code for file in files if file.failure is not None}
    assert codes <= OF_THE_FILE
    kept = sum(not file.failed for file in files)
    assert 0 < kept < count
    times = [[frame.time for frame in file.frames] for file in files if file.media.media_type == "video"]
    assert all(sorted(of_file) == of_file for of_file in times)


def test_a_few_mutations(tmp_path: Path) -> None:
    assert_mutations_have_results(tmp_path, 60)


@pytest.mark.slow
def test_two_thousand_mutations(tmp_path: Path) -> None:
    assert_mutations_have_results(tmp_path, 2000)
