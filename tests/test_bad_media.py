"""Media that nobody has checked: cut, flipped, absurd. What can be read is kept and marked, what can't has a code; no
crash, no hang, no file without a verdict, and no loss in silence."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from fer_batch import run as orchestrator
from fer_batch.config import Sampling
from fer_batch.records import Code, Prepared
from fer_batch.stages.discover import discover
from tests.clips import SIZE, cut, make_big_png, make_moving, make_video, mutated, steady
from tests.test_run import config
from tests.test_work import Stub, check, detector, failed, photo, prepare  # noqa: F401

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
    Code.TOO_LARGE, Code.DAMAGED, Code.TRUNCATED, Code.TIME_JUMPS,
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


@pytest.mark.usefixtures("detector")
def test_times_that_jump_ahead_cost_nothing(tmp_path: Path) -> None:
    times = [*steady(25, 50), *(1_000_000 + time for time in steady(25, 50))]
    for sampling in (Sampling(), Sampling(fast=True)):
        (prepared,) = prepare(make_video(tmp_path / "a.mkv", times, tick=Fraction(1, 1000)), sampling=sampling)
        assert [float(frame.time or 0) for frame in prepared.frames] == [0, 1, 1_000_000, 1_000_001]


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("stated", [0xFFFFFFFE, 0x7FFFFFFF])
def test_an_absurd_length_is_told_and_waited_for_by_nobody(tmp_path: Path, stated: int) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 50))
    content = bytearray(path.read_bytes())
    for box, place in ((b"mdhd", 20), (b"mvhd", 20), (b"tkhd", 24)):
        at = content.index(box) + place
        content[at : at + 4] = struct.pack(">I", stated)
    path.write_bytes(content)
    (prepared,) = prepare(path)
    assert [frame.time for frame in prepared.frames] == [0, 1]
    assert prepared.failure is None or prepared.failure.code is Code.TRUNCATED


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
def test_an_interlaced_film(tmp_path: Path) -> None:
    import av

    from tests.clips import numbered

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"x264-params": "tff=1:threads=1"})
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    (prepared,) = prepare(path)
    assert [frame.time for frame in prepared.frames] == [0, 1]
    assert prepared.failure is None


def accounted(tmp_path: Path, seed: int, count: int) -> dict[str, Prepared]:
    """Verdicts on `count` mutations of small files, by path, from workers with a deadline, as a run gives them."""
    rng = random.Random(seed)
    made = config(tmp_path, workers=2, timeout=60.0, sampling=Sampling(fps=5.0))
    originals = [(name, make(tmp_path / name).read_bytes()) for name, make in SMALL.items()]
    for number in range(count):
        name, content = originals[number % len(originals)]
        (tmp_path / "in" / f"{number:04}{name}").write_bytes(mutated(content, rng))
    verdicts: dict[str, Prepared] = {}
    for one in orchestrator._prepared(made, discover(made.inputs)):
        assert isinstance(one, Prepared)
        assert one.media.path not in verdicts
        verdicts[one.media.path] = check(one)
    return verdicts


def judge(tmp_path: Path, count: int) -> None:
    verdicts = accounted(tmp_path, 1, count)
    assert len(verdicts) == count
    codes = {one.failure.code for one in verdicts.values() if one.failure is not None}
    assert codes <= OF_THE_FILE
    kept = sum(not one.failed for one in verdicts.values())
    assert 0 < kept < count
    times = [[frame.time for frame in one.frames] for one in verdicts.values() if one.media.media_type == "video"]
    assert all(sorted(file) == file for file in times)


def test_a_few_mutations(tmp_path: Path) -> None:
    judge(tmp_path, 60)


@pytest.mark.slow
def test_two_thousand_mutations(tmp_path: Path) -> None:
    judge(tmp_path, 2000)
