"""Moving pictures: the right picture at the right time in every container, upright, from any start, damaged or not."""

from __future__ import annotations

import gc
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.error import FFmpegError

from fer_batch.media import container as container_module
from fer_batch.media import video as video_module
from fer_batch.media.base import Skip
from fer_batch.media.video import MAX_READ_ERRORS, VideoReader, open_video
from fer_batch.media.webp import AnimatedWebpReader
from fer_batch.records import Code, Failure, MediaError, MediaInfo, Stage
from tests.helpers.clips import (
    SAMPLES,
    SIZE,
    cut,
    make_audio,
    make_moving,
    make_video,
    make_wide_gif,
    number_in,
    numbered,
    pictures,
    scramble,
    steady,
    without_length,
)
from tests.helpers.worker import found

FRAME = Fraction(1, 25)
MILLISECOND = Fraction(1, 1000)
Read = list[tuple[Fraction, int]]

#: Name, codec, tick, B frames, pixel format, the codec's name in the tables.
KINDS = {
    "h264.mp4": ("libx264", Fraction(1, 90000), 2, "yuv420p", "h264"),
    "h264.mkv": ("libx264", MILLISECOND, 2, "yuv420p", "h264"),
    "h264.ts": ("libx264", Fraction(1, 90000), 2, "yuv420p", "h264"),
    "h264.flv": ("libx264", MILLISECOND, 2, "yuv420p", "h264"),
    "high10.mp4": ("libx264", Fraction(1, 90000), 0, "yuv420p10le", "h264"),
    "hevc.mp4": ("libx265", FRAME, 0, "yuv420p", "hevc"),
    "hevc10.mkv": ("libx265", FRAME, 0, "yuv420p10le", "hevc"),
    "av1.mp4": ("libsvtav1", FRAME, 0, "yuv420p", "av1"),
    "vp9.webm": ("libvpx-vp9", MILLISECOND, 0, "yuv420p", "vp9"),
    "mpeg4.avi": ("mpeg4", FRAME, 0, "yuv420p", "mpeg4"),
    "mpeg2.mpg": ("mpeg2video", FRAME, 2, "yuv420p", "mpeg2video"),
    "mpeg2.vob": ("mpeg2video", FRAME, 2, "yuv420p", "mpeg2video"),
    "mpeg2.ts": ("mpeg2video", FRAME, 2, "yuv420p", "mpeg2video"),
    "mpeg2.mxf": ("mpeg2video", FRAME, 2, "yuv420p", "mpeg2video"),
    "wmv2.wmv": ("wmv2", FRAME, 0, "yuv420p", "wmv2"),
    "mjpeg.mov": ("mjpeg", FRAME, 0, "yuvj422p", "mjpeg"),
    "prores.mov": ("prores_ks", FRAME, 0, "yuv422p10le", "prores"),
    "rgb.mkv": ("ffv1", MILLISECOND, 0, "bgr0", "ffv1"),
    "gray.avi": ("ffv1", FRAME, 0, "gray", "ffv1"),
    "deep.mkv": ("ffv1", MILLISECOND, 0, "gray16le", "ffv1"),
    "raw.y4m": ("wrapped_avframe", FRAME, 0, "yuv444p", "rawvideo"),
    "palette.gif": ("gif", Fraction(1, 100), 0, "rgb8", "gif"),
}


def read(path: Path, skip: Skip = "DEFAULT", start: float = 0.0) -> tuple[Read, Failure | None]:
    """The time and number of every frame, and what was lost."""
    with open_video(str(path)) as reader:
        frames = [(picture.time, number_in(picture.luma())) for picture in reader.frames(skip, start)]
        return frames, reader.partial_failure(read_to_end=True)


def numbered_times(times: list[Fraction]) -> Read:
    return [(time, number) for number, time in enumerate(times)]


def failure_of(path: Path) -> Failure:
    with pytest.raises(MediaError) as caught:
        read_nothing(path)
    return caught.value.failure


def read_nothing(path: Path) -> None:
    with open_video(str(path)) as reader:
        assert list(reader.frames()) == []
        raise reader.no_frames_error()


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_has_its_time(tmp_path: Path, name: str) -> None:
    codec, tick, b_frames, pixels, codec_name = KINDS[name]
    times = steady(25, 30)
    path = make_video(tmp_path / name, times, codec=codec, tick=tick, b_frames=b_frames, pixel_format=pixels)
    assert read(path) == (numbered_times(times), None)
    with open_video(str(path)) as reader:
        info = reader.info(None)
    assert (info.width, info.height, info.codec) == (*SIZE, codec_name)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le", "bgr0", "gray", "gray16le", "yuv444p"])
@pytest.mark.parametrize("size", [SIZE, (66, 50)], ids=["aligned", "padded rows"])
def test_luma_is_the_picture(tmp_path: Path, pixels: str, size: tuple[int, int]) -> None:
    path = make_video(tmp_path / "a.mkv", [0], codec="ffv1", tick=MILLISECOND, pixel_format=pixels, size=size)
    with open_video(str(path)) as reader:
        (picture,) = reader.frames()
        luma = picture.luma()
    assert (luma.dtype, luma.flags.c_contiguous) == (np.uint8, True)
    shown = numbered(0, size)
    assert luma.shape[::-1] == size
    assert np.ptp(luma[: shown.shape[0], : shown.shape[1]].astype(int)) <= 2  # All blocks of 0 are dark.


def test_colour_is_blue_green_red_and_reduced(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 6))
    with open_video(str(path)) as reader:
        picture = list(reader.frames())[5]
    assert picture.bgr(640).shape == (48, 64, 3)
    small = picture.bgr(32)
    assert (small.shape, small.dtype, small.flags.c_contiguous) == ((24, 32, 3), np.uint8, True)
    assert [number_in(np.ascontiguousarray(small[:, :, channel])) for channel in range(3)] == [5, 5, 5]


def test_channels_are_not_swapped() -> None:
    with open_video(str(SAMPLES / "clips" / "pan_and_zoom.mp4")) as reader:
        bgr = next(iter(reader.frames())).bgr(640).reshape(-1, 3).mean(axis=0)
    assert bgr[2] > bgr[0] + 10  # An orange suit: more red than blue.


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_rotation_is_applied(tmp_path: Path, name: str, rotation: int) -> None:
    path = make_video(tmp_path / name, steady(25, 6), rotation=rotation, tick=MILLISECOND)
    upright = SIZE if rotation % 180 == 0 else SIZE[::-1]
    with open_video(str(path)) as reader:
        shown = list(reader.frames())
        assert [number_in(picture.luma()) for picture in shown] == [0, 1, 2, 3, 4, 5]
        assert {picture.luma().shape[::-1] for picture in shown} == {upright}
        assert shown[5].bgr(640).shape == (*upright[::-1], 3)
        assert number_in(np.ascontiguousarray(shown[5].bgr(640)[:, :, 0])) == 5


@pytest.mark.parametrize(
    ("name", "tick"),
    [("a.mp4", Fraction(1, 90000)), ("a.mkv", MILLISECOND), ("a.ts", Fraction(1, 90000)), ("a.gif", Fraction(1, 100))],
)
def test_variable_frame_rate(tmp_path: Path, name: str, tick: Fraction) -> None:
    times = [Fraction(ms, 1000) for ms in (0, 30, 70, 140, 240, 490, 520, 1500, 1540, 2000)]
    codec, pixels = ("gif", "rgb8") if name == "a.gif" else ("libx264", "yuv420p")
    assert read(make_video(tmp_path / name, times, codec=codec, tick=tick, pixel_format=pixels, b_frames=1)) == (
        numbered_times(times),
        None,
    )


def test_times_count_from_the_start_of_the_stream(tmp_path: Path) -> None:
    times = [time + 7 for time in steady(25, 10)]
    frames, _ = read(make_video(tmp_path / "a.ts", times, b_frames=2))
    assert frames == numbered_times(steady(25, 10))


def test_a_matroska_file_without_a_length(tmp_path: Path) -> None:
    times = [round(time * 1000) * MILLISECOND for time in steady(Fraction(30000, 1001), 40)]
    path = without_length(make_video(tmp_path / "a.mkv", times, tick=MILLISECOND))
    assert read(path) == (numbered_times(times), None)
    with open_video(str(path)) as reader:
        assert reader.stated_end is None
        assert reader.info((5, 6)) == MediaInfo(5, 6, None, "h264", stream_index=0)


@pytest.mark.parametrize(("name", "tick"), [("a.mkv", Fraction(1, 1000)), ("a.mp4", Fraction(1, 12800))])
def test_stated_end_of_a_video_that_starts_late_is_on_the_players_clock(
    tmp_path: Path, name: str, tick: Fraction
) -> None:
    path = make_video(tmp_path / name, [10 + time for time in steady(25, 50)], tick=tick)
    with open_video(str(path)) as reader:
        assert float(reader.stated_end or 0) == pytest.approx(2.0, abs=0.05)


def test_key_frames_alone(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 49), b_frames=3, gop=12)
    assert read(path, "NONKEY") == ([(Fraction(number, 25), number) for number in (0, 12, 24, 36, 48)], None)


def test_frames_that_no_other_needs_are_left_out(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 49), b_frames=3, gop=12)
    frames, loss = read(path, "NONREF")
    assert set(frames) < set(numbered_times(steady(25, 49)))
    assert {0, 12, 24, 36, 48} < {number for _, number in frames}
    assert len(frames) < 25
    assert loss is None


STARTS = ["h264.mp4", "h264.mkv", "h264.ts", "h264.flv", "vp9.webm", "mpeg4.avi", "mpeg2.mpg", "mpeg2.ts", "wmv2.wmv"]


@pytest.mark.parametrize("name", [*STARTS, "palette.gif", "raw.y4m"])
def test_a_start_gives_the_frames_that_reading_all_gives(tmp_path: Path, name: str) -> None:
    codec, tick, b_frames, pixels, _ = KINDS[name]
    times = steady(25, 125)
    path = make_video(tmp_path / name, times, codec=codec, tick=tick, b_frames=b_frames, pixel_format=pixels, gop=25)
    wanted = numbered_times(times)
    for start in (0.02, 1.0, 2.5, 3.97, 4.9, 4.96, 4.97, 60.0):
        frames, _ = read(path, start=start)
        assert [frame for frame in frames if frame[0] >= start] == wanted[int(np.ceil(start * 25 - 1e-9)) :], start
        assert set(frames) <= set(wanted), start


def test_seeking_saves_reading(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 100), gop=25)
    assert read(path, start=3.5)[0][0] == (Fraction(3), 75)


@pytest.mark.parametrize("name", ["mpeg2.mpg", "mpeg4.avi", "h264.ts", "h264.mkv", "palette.gif"])
def test_the_length_is_not_below_the_last_frame(tmp_path: Path, name: str) -> None:
    codec, tick, b_frames, pixels, _ = KINDS[name]
    path = make_video(tmp_path / name, steady(25, 50), codec=codec, tick=tick, b_frames=b_frames, pixel_format=pixels)
    with open_video(str(path)) as reader:
        last = [picture.time for picture in reader.frames()][-1]
        assert reader.info(None).duration_s == pytest.approx(2.0, abs=0.05)
    assert last == Fraction(49, 25)


def test_moving_webp(tmp_path: Path) -> None:
    path = make_moving(tmp_path / "a.webp", [100, 250, 40, 500])
    with open_video(str(path)) as reader:
        assert isinstance(reader, AnimatedWebpReader)
        shown = list(reader.frames())
        assert [number_in(picture.luma()) for picture in shown] == [0, 1, 2, 3]
        assert [picture.time for picture in shown] == [0, Fraction("0.1"), Fraction("0.35"), Fraction("0.39")]
        assert shown[1].bgr(640).shape == (*SIZE[::-1], 3)
        assert reader.info(None) == MediaInfo(*SIZE, 0.89, "webp")
        assert reader.partial_failure(read_to_end=True) is None
        assert len(list(reader.frames("NONKEY"))) == 1


def test_frames_that_state_no_duration_are_shown_for_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = make_moving(tmp_path / "a.webp", [0, 10, 11, 0])
    with open_video(str(path)) as reader:
        assert [frame.time for frame in reader.frames()] == [Fraction(ms, 1000) for ms in (0, 100, 200, 211)]


def test_an_animated_png_is_a_video(tmp_path: Path) -> None:
    first, *others = pictures(4)
    first.save(tmp_path / "a.png", save_all=True, append_images=others, duration=500)
    assert found(tmp_path / "a.png").media_type == "video"
    assert read(tmp_path / "a.png") == (numbered_times([Fraction(n, 2) for n in range(4)]), None)


def test_cut_webp_is_invalid(tmp_path: Path) -> None:
    path = cut(make_moving(tmp_path / "a.webp", [100] * 20), 0.5)
    assert failure_of(path).code in (Code.INVALID_DATA, Code.DAMAGED)


def test_a_last_frame_that_is_shown_for_long_is_no_loss(tmp_path: Path) -> None:
    path = make_moving(tmp_path / "a.gif", [100, 100, 5000])
    assert read(path) == (numbered_times([Fraction(0), Fraction("0.1"), Fraction("0.2")]), None)


def test_a_cut_film_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    path = cut(make_video(tmp_path / "a.mp4", steady(25, 75), faststart=True), 0.5, after=b"mdat")
    frames, loss = read(path)
    assert 20 < len(frames) < 60
    assert frames == numbered_times(steady(25, len(frames)))
    assert loss is not None
    assert (loss.stage, loss.code) == (Stage.DECODE, Code.TRUNCATED)
    assert "3.0 s" in loss.message


@pytest.mark.parametrize("name", ["h264.mkv", "vp9.webm"])
def test_a_cut_film_of_other_kinds_says_so_too(tmp_path: Path, name: str) -> None:
    codec, tick, b_frames, pixels, _ = KINDS[name]
    times = steady(25, 100)
    path = make_video(tmp_path / name, times, codec=codec, tick=tick, b_frames=b_frames, pixel_format=pixels)
    frames, loss = read(cut(path, 0.4))
    assert 5 < len(frames) < 70
    assert loss is not None
    assert loss.code == Code.TRUNCATED


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_scrambled_middle_costs_that_and_is_told(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, steady(25, 100), tick=MILLISECOND, faststart=name == "a.mp4")
    frames, loss = read(scramble(path, 0.5, 0.6, after=b"mdat" if name == "a.mp4" else b""))
    assert frames[:30] == numbered_times(steady(25, 30))
    assert frames[-1] == (Fraction(99, 25), 99)
    assert len(frames) < 100
    assert loss is not None
    assert (loss.stage, loss.code) == (Stage.DECODE, Code.DAMAGED)


class Wrapped:
    """A container that gives other packets than it holds."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)


class Unreadable(Wrapped):
    """Every packet is an error."""

    def demux(self, _: Any) -> Any:
        self.tries += 1
        raise FFmpegError(5, "broken")
        yield


def test_errors_without_end_are_given_up(tmp_path: Path) -> None:
    reader = VideoReader(str(make_video(tmp_path / "a.mp4", steady(25, 5))))
    reader._container = unreadable = Unreadable(reader._container)
    assert list(reader.frames()) == []
    assert unreadable.tries == reader.stats.errors == MAX_READ_ERRORS
    loss = reader.partial_failure(read_to_end=True)
    assert loss is not None
    assert loss.code == Code.DAMAGED
    assert loss.message.startswith(f"{MAX_READ_ERRORS} errors while decoding; the rest was given up")
    assert reader.no_frames_error().failure.code == Code.INVALID_DATA


class UnknownStream(Wrapped):
    """Its fifth packet is of a stream that damage made up: PyAV raises IndexError, which ends its generator."""

    def demux(self, stream: Any) -> Any:
        self.tries += 1
        for count, packet in enumerate(self._container.demux(stream), 1):
            if self.tries == 1 and count == 5:
                raise IndexError("list index out of range")
            yield packet


def test_a_packet_of_an_unknown_stream_costs_no_more_than_itself(tmp_path: Path) -> None:
    with VideoReader(str(make_video(tmp_path / "a.mkv", steady(25, 25), codec="ffv1"))) as reader:
        reader._container = UnknownStream(reader._container)  # type: ignore[assignment]
        assert len(list(reader.frames())) == 24
        assert reader.stats.errors == 1


class Circular(Wrapped):
    """It begins again where it ends."""

    def demux(self, stream: Any) -> Any:
        while True:
            self._container.seek(0, stream=stream)
            yield from (packet for packet in self._container.demux(stream) if packet.size)


def test_a_film_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "_MAX_PACKETS", 10)
    path = make_video(tmp_path / "a.ts", steady(25, 5))
    reader = VideoReader(str(path))
    reader._container = Circular(reader._container)
    most = path.stat().st_size + 10
    assert 1000 < sum(1 for _ in islice(reader.frames(), most)) < most
    assert reader.stats.given_up
    assert reader.stats.last_error == "it does not come to an end"


def test_no_index_no_film(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 30))
    failure = failure_of(cut(path, 0.3))
    assert (failure.stage, failure.code) == (Stage.DECODE, Code.INVALID_DATA)
    assert "is it complete?" in failure.message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"hello, world\n" * 50, id="text"),
        pytest.param(b"#EXTM3U\n#EXTINF:10,\na.mp4\n", id="playlist"),
        pytest.param(b"ffconcat version 1.0\nfile 'other.mp4'\n", id="FFmpeg's list of files"),
        pytest.param(bytes(4096), id="zeros"),
        pytest.param(bytes(range(256)) * 20, id="bytes"),
    ],
)
def test_what_is_no_film_is_invalid_and_leads_nowhere(tmp_path: Path, content: bytes) -> None:
    make_video(tmp_path / "other.mp4", steady(25, 3))
    (tmp_path / "a.mp4").write_bytes(content)
    assert failure_of(tmp_path / "a.mp4").code == Code.INVALID_DATA


@pytest.mark.parametrize("cover", [False, True])
def test_sound_alone(tmp_path: Path, cover: bool) -> None:
    failure = failure_of(make_audio(tmp_path / "a.mp4", cover=cover))
    assert (failure.code, failure.message) == (Code.NO_VIDEO_STREAM, "holds no video stream")


def test_an_unknown_codec_is_unsupported(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    assert failure_of(path).code == Code.UNSUPPORTED


class Timeless(Wrapped):
    """Its packets have lost their time stamps."""

    def demux(self, stream: Any) -> Any:
        for packet in self._container.demux(stream):
            packet.pts = packet.dts = None
            yield packet


def test_frames_without_a_time_get_none_made_up_where_the_format_has_times(tmp_path: Path) -> None:
    reader = VideoReader(str(make_video(tmp_path / "a.mp4", steady(25, 10))))
    reader._container = Timeless(reader._container)
    assert list(reader.frames()) == []
    assert reader.no_frames_error().failure.code == Code.NO_TIMESTAMPS


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.y4m", "wrapped_avframe"), ("a.wmv", "wmv2")])
def test_a_stream_without_frames(tmp_path: Path, name: str, codec: str) -> None:
    assert failure_of(make_video(tmp_path / name, [], codec=codec, tick=FRAME)).code == Code.NO_FRAMES


def test_a_file_that_has_gone(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        VideoReader(str(tmp_path / "gone.mp4"))
    assert caught.value.failure.code == Code.CHANGED


def test_films_are_held_to_the_limit_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GIF of a hundred bytes may ask for a gigabyte a frame."""
    path = make_wide_gif(tmp_path / "a.gif", 200, 100)
    monkeypatch.setattr(container_module, "MAX_PIXELS", 19_999)
    assert failure_of(path).code == Code.TOO_LARGE


@pytest.mark.parametrize(
    "name", ["12:30:05.mp4", "file:a.mp4", "a%03d.mp4", "-a.mp4", "a\nb.mp4", "ü.mp4", "a\udcff.mp4"]
)
def test_no_name_means_anything_to_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make_video(tmp_path / "plain.mp4", steady(25, 2)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read(Path(name)) == (numbered_times(steady(25, 2)), None)


def test_frames_are_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    """A frame of 4K has 12 MB."""
    path = make_video(tmp_path / "a.mp4", steady(10, 20))
    gc.collect()
    gc.disable()
    try:
        with open_video(str(path)) as reader:
            for frame in reader.frames():
                frame.luma()
                frame.bgr(640)
        assert sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects()) <= 2
    finally:
        gc.enable()
