"""A video as a player shows it: turned, mirrored, with square pixels, on the player's clock, of the right stream."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fer_batch.media.base import ReadStats
from fer_batch.media.notes import unlikely_rate
from fer_batch.media.video import open_video
from fer_batch.records import Code, Failure, MediaInfo
from tests.helpers.clips import SIZE, make_video, number_in, steady
from tests.helpers.real_media import Track, make_tracks, state_avi_rate

Frames = list[tuple[Fraction, int, tuple[int, int]]]


def read(path: Path) -> tuple[Frames, MediaInfo, Failure | None]:
    """Time, number, width and height of every frame; what the file says; what is odd about it."""
    with open_video(str(path)) as reader:
        frames = [(frame.time, number_in(frame.luma()), frame.luma().shape[::-1]) for frame in reader.frames()]
        return frames, reader.info(None), reader.partial_failure(read_to_end=True)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_display_matrix_is_applied_as_exif_is(tmp_path: Path, name: str, orientation: int) -> None:
    path = make_tracks(tmp_path / name, Track(orientation=orientation, seconds=0.4))
    frames, info, failure = read(path)
    assert [(number, size) for _, number, size in frames] == [(number, SIZE) for number in range(10)]
    assert (info.width, info.height, failure) == (*SIZE, None)
    with open_video(str(path)) as reader:
        bgr = list(reader.frames())[5].bgr(640)
    assert number_in(np.ascontiguousarray(bgr[:, :, 1])) == 5


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(4, 3), Fraction(1, 2), Fraction(64, 45)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_pixels_become_square(tmp_path: Path, name: str, aspect: Fraction) -> None:
    codec = "mpeg4" if name == "a.avi" else "libx264"
    path = make_tracks(tmp_path / name, Track(codec=codec, pixel_aspect=aspect, size=(96, 64), seconds=0.4))
    width = round(96 * aspect)
    frames, info, _ = read(path)
    assert {size for *_, size in frames} == {(width, 64)}
    assert [number for _, number, _ in frames] == list(range(10))
    assert (info.width, info.height) == (width, 64)
    with open_video(str(path)) as reader:
        assert reader.info(None).width == width  # Before any frame is read.
        frame = next(iter(reader.frames()))
        assert frame.bgr(640).shape == (64, width, 3)
        reduced = frame.bgr(48)
        assert max(reduced.shape) == 48
        assert reduced.shape[1] / reduced.shape[0] == pytest.approx(width / 64, rel=0.05)


def test_square_pixels_and_a_turn_go_together(tmp_path: Path) -> None:
    path = make_tracks(tmp_path / "a.mp4", Track(pixel_aspect=Fraction(2), orientation=6, seconds=0.2))
    frames, info, _ = read(path)
    # Stored 48 wide and 64 high; twice as wide once its pixels are square, and then turned.
    assert {size for *_, size in frames} == {(64, 96)}
    assert (info.width, info.height) == (64, 96)


@pytest.mark.parametrize("aspect", [Fraction(1, 100), Fraction(100)])
def test_an_absurd_pixel_aspect_is_not_believed(tmp_path: Path, aspect: Fraction) -> None:
    frames, _, _ = read(make_tracks(tmp_path / "a.mkv", Track(pixel_aspect=aspect, seconds=0.2)))
    assert {size for *_, size in frames} == {SIZE}


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts"])
def test_times_are_those_of_the_players_clock_where_sound_begins_first(tmp_path: Path, name: str) -> None:
    path = make_tracks(tmp_path / name, Track("audio", "aac", seconds=8), Track(start=3, seconds=4))
    frames, info, failure = read(path)
    assert len(frames) == 100
    # A transport stream keeps the 64 ms of silence that AAC begins with.
    assert [float(time) for time, *_ in frames] == pytest.approx([3 + n / 25 for n in range(100)], abs=0.07)
    assert failure is None
    assert info.duration_s == pytest.approx(7, abs=1.1)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_picture_that_begins_first_begins_at_zero(tmp_path: Path, name: str) -> None:
    path = make_tracks(tmp_path / name, Track(seconds=4), Track("audio", "aac", start=2, seconds=2))
    frames, _, failure = read(path)
    assert (frames[0][0], len(frames), failure) == (0, 100, None)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_start_counts_on_the_players_clock(tmp_path: Path, name: str) -> None:
    path = make_tracks(tmp_path / name, Track("audio", "aac", seconds=8), Track(start=3, seconds=4))
    with open_video(str(path)) as reader:
        frames = [(frame.time, number_in(frame.luma())) for frame in reader.frames(start=5.0) if frame.time >= 5]
        keys = reader.key_frames([Fraction(4), Fraction(6)])
    assert [number for _, number in frames] == list(range(50, 100))
    assert [float(key) for key in keys] == pytest.approx([4.0, 6.0], abs=0.03)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts"])
def test_of_several_video_streams_the_largest_is_read(tmp_path: Path, name: str) -> None:
    path = make_tracks(tmp_path / name, Track(black=True), Track(size=(160, 96)), Track("audio", "aac"))
    frames, info, failure = read(path)
    assert (len(frames), {size for *_, size in frames}, info.stream_index) == (50, {(160, 96)}, 1)
    assert failure is not None
    assert failure.code == Code.OTHER_STREAMS
    assert "stream 1 (160x96)" in failure.message


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_still_stream_does_not_count_however_large(tmp_path: Path, name: str) -> None:
    path = make_tracks(tmp_path / name, Track(size=(640, 480), seconds=0.04), Track(seconds=4))
    frames, info, failure = read(path)
    assert (len(frames), info.stream_index, failure) == (100, 1, None)


def test_the_default_stream_of_a_matroska_file_goes_first(tmp_path: Path) -> None:
    path = make_tracks(tmp_path / "a.mkv", Track(size=(160, 96), default=False), Track(default=True))
    assert read(path)[1].stream_index == 1


def test_one_video_stream_is_not_remarked_on(tmp_path: Path) -> None:
    _, info, failure = read(make_tracks(tmp_path / "a.mp4", Track("audio", "aac"), Track()))
    assert (info.stream_index, failure) == (1, None)


def test_six_hundred_frames_a_second_are_read_as_stated_and_remarked_on(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", steady(25, 150), codec="mpeg4", tick=Fraction(1, 25))
    assert read(path)[2] is None
    frames, info, failure = read(state_avi_rate(path, 600))
    assert [time for time, *_ in frames] == steady(600, 150)
    assert info.duration_s == 0.25
    assert failure is not None
    assert failure.code == Code.UNLIKELY_RATE
    assert "600 frames a second" in failure.message


@pytest.mark.parametrize("rate", [60, 120, 240])
def test_a_slow_motion_camera_is_believed(tmp_path: Path, rate: int) -> None:
    path = make_video(tmp_path / "a.mp4", steady(rate, 2 * rate), rate=Fraction(rate))
    assert read(path)[2] is None


def test_packets_without_a_frame_do_not_make_a_rate_unlikely() -> None:
    stats = ReadStats(errors=900, packets=1000, begin=Fraction(0), end=Fraction(1))
    assert list(unlikely_rate(stats, Fraction(25), Fraction(1, 1000))) == []


def test_an_unlikely_rate_is_remarked_on_as_it_is_where_another_is_stated() -> None:
    stats = ReadStats(packets=1000, begin=Fraction(0), end=Fraction(1))
    ((code, message),) = unlikely_rate(stats, Fraction(25), Fraction(1, 1000))
    assert (code, message.split(" ")[0]) == (Code.UNLIKELY_RATE, "1000")


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_the_time_of_a_recording_is_that_of_its_container(tmp_path: Path, name: str) -> None:
    path = make_tracks(tmp_path / name, Track(), metadata={"creation_time": "2024-05-17T12:03:00.000000Z"})
    assert read(path)[1].recorded_at == datetime(2024, 5, 17, 12, 3, tzinfo=UTC)


def test_a_recording_without_a_time_has_none(tmp_path: Path) -> None:
    assert read(make_tracks(tmp_path / "a.mp4", Track()))[1].recorded_at is None
