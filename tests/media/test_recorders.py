"""Videos as recorders leave them: streams without a container, joined recordings, steady damage."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fer_batch.config import Sampling
from fer_batch.media.video import open_video
from fer_batch.records import Code, Failure
from tests.helpers.clips import make_video, number_in, steady
from tests.helpers.real_media import damage_steadily, edit
from tests.helpers.worker import Stub, detector, failed, found, merged, photo, prepare  # noqa: F401

FRAME = Fraction(1, 25)
#: Name, codec and the rate that the stream itself states.
RAW = {
    "a.h264": ("libx264", 30),
    "a.264": ("libx264", 30),
    "a.hevc": ("libx265", 30),
    "a.m2v": ("mpeg2video", 30),
    "a.mjpeg": ("mjpeg", 25),
    "a.obu": ("libsvtav1", 25),
}


def make_raw(path: Path, codec: str, count: int = 60, rate: int = 30) -> Path:
    """A stream without a container: frames and nothing else."""
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    container = {".264": "h264"}.get(path.suffix)
    times = steady(rate, count)
    options = {"rate": Fraction(rate), "tick": Fraction(1, rate), "pixel_format": pixels, "container": container}
    return make_video(path, times, codec=codec, b_frames=2 if codec == "libx264" else 0, **options)  # type: ignore[arg-type]


def read(path: Path) -> tuple[list[tuple[Fraction, int]], Failure | None]:
    with open_video(str(path)) as reader:
        frames = [(frame.time, number_in(frame.luma())) for frame in reader.frames()]
        return frames, reader.partial_failure(read_to_end=True)


@pytest.mark.parametrize("name", RAW)
@pytest.mark.usefixtures("detector")
def test_a_stream_without_a_container_is_read_and_its_times_are_counted(tmp_path: Path, name: str) -> None:
    codec, stated = RAW[name]
    path = make_raw(tmp_path / name, codec)
    assert found(path).media_type == "video"
    frames, _ = read(path)
    assert frames == [(Fraction(number, stated), number) for number in range(60)]
    (prepared,) = prepare(path, sampling=Sampling(fps=2.0))
    assert [frame.time for frame in prepared.frames] == pytest.approx(
        [0.0, 0.5, 1.0, 1.5, 2.0][: 4 + (stated == 25)], abs=0.04
    )
    assert prepared.failure is not None
    assert (prepared.failed, prepared.failure.code) == (False, Code.NO_TIMESTAMPS)
    assert f"{stated} frames a second" in prepared.failure.message
    assert ("that it states" in prepared.failure.message) == (stated != 25)  # 25 is FFmpeg's guess.
    assert prepared.info.duration_s == pytest.approx(60 / stated)


@pytest.mark.parametrize("name", ["a.h264", "a.hevc", "a.m2v", "a.obu"])
def test_a_stream_without_a_container_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    path = make_raw(tmp_path / name, RAW[name][0]).rename(tmp_path / "a")
    assert found(path).failure is None or name == "a.obu"


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("sampling", [Sampling("keyframes"), Sampling(fps=1.0, fast=True), Sampling("every", every=30)])
def test_counted_times_are_the_same_however_frames_are_chosen(tmp_path: Path, sampling: Sampling) -> None:
    path = make_raw(tmp_path / "a.h264", "libx264", 120)  # A key frame every twelfth.
    (prepared,) = prepare(path, sampling=sampling)
    step = {"keyframes": 0.4, "fps": 1.0, "every": 1.0}[sampling.mode]
    assert [float(frame.time or 0) for frame in prepared.frames][:4] == pytest.approx([n * step for n in range(4)])


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libsvtav1"])
def test_ivf_has_its_own_times(tmp_path: Path, codec: str) -> None:
    path = make_video(tmp_path / "a.ivf", steady(25, 50), codec=codec, tick=FRAME)
    assert found(path.rename(tmp_path / "b")).media_type == "video"
    assert read(tmp_path / "b") == ([(time, number) for number, time in enumerate(steady(25, 50))], None)


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("cut", [1, 100, 187, 188 * 3 + 50])
def test_a_transport_stream_may_begin_in_the_middle_of_a_packet(tmp_path: Path, cut: int) -> None:
    path = make_video(tmp_path / "a.ts", steady(25, 100), gop=25)
    path.write_bytes(path.read_bytes()[cut:])
    (prepared,) = prepare(path.rename(tmp_path / "recording"))
    assert not prepared.failed
    assert len(prepared.frames) >= 3


@pytest.mark.parametrize("name", ["a.dv", "a.rmvb", "a.wtv", "a.obu", "a.dng", "a.jxl", "a.psd", "a.mpo", "a.264"])
def test_nothing_that_is_named_like_media_goes_without_a_row(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"hello, world" * 100)
    assert failed(tmp_path / name).code in (Code.INVALID_DATA, Code.UNSUPPORTED, Code.NO_VIDEO_STREAM)


JOINABLE = {
    "a.ts": ("libx264", Fraction(1, 90000)),
    "a.m2ts": ("libx264", Fraction(1, 90000)),
    "a.mpg": ("mpeg2video", FRAME),
    "a.mkv": ("libx264", Fraction(1, 1000)),
    "a.webm": ("libvpx-vp9", Fraction(1, 1000)),
    "a.avi": ("mpeg4", FRAME),
}


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("name", JOINABLE)
def test_a_second_recording_goes_on_after_the_first(tmp_path: Path, name: str) -> None:
    codec, tick = JOINABLE[name]
    path = make_video(tmp_path / name, steady(25, 100), codec=codec, tick=tick, gop=25)
    path.write_bytes(2 * path.read_bytes())
    prepared, _ = merged(path, Sampling(fps=5.0))
    times = [float(frame.time or 0) for frame in prepared.frames]
    assert times == pytest.approx([n / 5 for n in range(40)], abs=0.041)
    assert prepared.info.duration_s == pytest.approx(8, abs=0.05)
    assert prepared.failure is not None
    assert (prepared.failed, prepared.failure.code) == (False, Code.TIME_JUMPS)


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
@pytest.mark.usefixtures("detector")
def test_a_start_may_lie_in_the_second_recording(tmp_path: Path, name: str) -> None:
    codec, tick = JOINABLE[name]
    path = make_video(tmp_path / name, steady(25, 100), codec=codec, tick=tick, gop=25)
    path.write_bytes(2 * path.read_bytes())
    whole, part = (merged(path, Sampling(fps=5.0, start=start))[0] for start in (0.0, 5.0))
    assert [frame.time for frame in part.frames] == [frame.time for frame in whole.frames if (frame.time or 0) >= 5]
    assert np.array_equal(part.crops, whole.crops[-len(part.crops) :])


@pytest.mark.parametrize("name", ["a.mp4", "a.flv", "a.wmv"])
@pytest.mark.usefixtures("detector")
def test_a_second_recording_that_no_player_shows_is_remarked_on(tmp_path: Path, name: str) -> None:
    codec = "wmv2" if name == "a.wmv" else "libx264"
    path = make_video(tmp_path / name, steady(25, 100), codec=codec, tick=FRAME)
    path.write_bytes(2 * path.read_bytes())
    (prepared,) = prepare(path)
    assert len(prepared.frames) == 4
    assert prepared.failure is not None
    assert (prepared.failed, prepared.failure.code) == (False, Code.TIME_JUMPS)
    assert f"another recording begins at byte {path.stat().st_size // 2}" in prepared.failure.message


#: Containers whose steady damage is read past, with the codec in them.
DAMAGED = {
    "a.ts": "libx264",
    "a.mpg": "mpeg2video",
    "a.flv": "libx264",
    "a.avi": "mpeg4",
    "a.mkv": "libx264",
    "a.mp4": "libx264",
    "a.h264": "libx264",
    "a.hevc": "libx265",
}
#: A broadcast's container, one with an index, and none at all; the others are read as these are.
DECIDING = ("a.ts", "a.mp4", "a.h264")


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DECIDING else pytest.mark.slow) for name in DAMAGED]
)
def test_steady_damage_costs_a_sample_in_a_hundred_and_no_more(tmp_path: Path, name: str) -> None:
    """Three minutes, a byte of every 20 kB: some hundred errors."""
    path = make_noise(tmp_path / name, DAMAGED[name], seconds=200)
    whole, _ = merged(path, Sampling(fps=1.0))
    assert len(whole.frames) == 200 or whole.failure is not None
    content = path.read_bytes()
    damage_steadily(path, every=len(content) // 100, begin=max(10_000, content.find(b"mdat")))
    damaged, _ = merged(path, Sampling(fps=1.0))
    assert len(damaged.frames) >= 0.99 * 200
    if name != "a.ts":  # FFmpeg conceals it all there, and does not say so.
        assert damaged.failure is not None
        assert damaged.failure.code in (Code.DAMAGED, Code.NO_TIMESTAMPS)
        assert "given up" not in damaged.failure.message
    assert abs((damaged.info.duration_s or 0) - (whole.info.duration_s or 0)) < 6


def make_noise(path: Path, codec: str, seconds: int) -> Path:
    """A video of noise, five frames a second, a key frame every two seconds."""
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (48, 64), np.uint8) for _ in range(10)]
    shown = [pictures[index % 10] for index in range(5 * seconds)]
    times, tick = steady(5, 5 * seconds), Fraction(1, 5)
    faststart = path.suffix == ".mp4"  # A damaged index is another matter.
    return make_video(path, times, codec=codec, tick=tick, rate=Fraction(5), gop=10, shown=shown, faststart=faststart)


@pytest.mark.usefixtures("detector")
def test_a_stretch_that_is_missing_from_a_transport_stream_is_told(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.ts", steady(25, 250), gop=25)
    content = path.read_bytes()
    quarter = len(content) // 4
    path.write_bytes(content[:quarter] + bytes(2 * quarter) + content[3 * quarter :])
    (prepared,) = prepare(path)
    assert prepared.failure is not None
    assert prepared.failure.code == Code.DAMAGED
    assert "s are missing" in prepared.failure.message


#: Spans of a recording, in seconds, and the numbers of the frames that players show of it.
SPANS = ((1.08, 3.08), (7, 9), (4, 5))
SHOWN = [*range(27, 77), *range(175, 225), *range(100, 125)]


@pytest.mark.parametrize("gop", [10, 250])
def test_what_was_cut_out_of_a_recording_by_its_edit_list_leaves_no_gap_in_time(tmp_path: Path, gop: int) -> None:
    path = edit(make_video(tmp_path / "a.mp4", steady(25, 250), gop=gop), *SPANS)
    expected = [(number * FRAME, picture) for number, picture in enumerate(SHOWN)]
    assert read(path) == (expected, None)
    for start in (0.5, 2.5, 4.5):
        with open_video(str(path)) as reader:
            frames = [(frame.time, number_in(frame.luma())) for frame in reader.frames(start=start)]
            assert reader.info(None).duration_s == 5.0
        assert [frame for frame in frames if frame[0] >= start] == [frame for frame in expected if frame[0] >= start]


@pytest.mark.parametrize("gop", [10, 250])
def test_an_edit_list_over_b_frames_gives_the_frames_that_players_show(tmp_path: Path, gop: int) -> None:
    frames, failure = read(edit(make_video(tmp_path / "a.mp4", steady(25, 250), gop=gop, b_frames=2), *SPANS))
    assert [picture for _, picture in frames] == SHOWN
    assert failure is None
    # Behind each cut FFmpeg is off by as many frames as it reorders.
    expected = [float(number * FRAME) for number in range(125)]
    assert [float(time) for time, _ in frames] == pytest.approx(expected, abs=2.1 * float(FRAME))


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize("gop", [10, 250])
@pytest.mark.parametrize("sampling", [Sampling(fps=1.0), Sampling(fps=4.0, start=1.5), Sampling("every", every=25)])
def test_samples_of_a_recording_with_an_edit_list_are_as_far_apart_as_asked_for(
    tmp_path: Path, gop: int, sampling: Sampling
) -> None:
    path = edit(make_video(tmp_path / "a.mp4", steady(25, 250), gop=gop, b_frames=2), *SPANS)
    prepared, _ = merged(path, sampling)
    step = Fraction(1, 4) if sampling.fps == 4.0 else 1
    times = [sampling.start + number * step for number in range(14 if sampling.fps == 4.0 else 5)]
    assert [frame.time for frame in prepared.frames] == pytest.approx([float(time) for time in times], abs=0.081)
    assert prepared.failure is None


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
def test_zeros_in_place_of_the_end_of_a_stream_of_packets_are_told(tmp_path: Path, name: str) -> None:
    codec = "libx264" if name == "a.ts" else "mpeg2video"
    path = make_video(tmp_path / name, steady(25, 100), codec=codec, tick=FRAME)
    assert read(path)[1] is None
    content = path.read_bytes()
    kept = len(content) // 2 // 188 * 188
    path.write_bytes(content[:kept].ljust(len(content) + 2000, b"\0"))
    frames, failure = read(path)
    assert 20 < len(frames) < 100
    assert failure is not None
    assert (failure.code in (Code.TRUNCATED, Code.DAMAGED)) if name == "a.mpg" else (failure.code is Code.TRUNCATED)
