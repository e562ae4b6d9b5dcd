"""Which frames are looked at: by due time, by count, key frames, within bounds; fast sampling is near or exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest

from fer_batch.config import Sampling
from fer_batch.media.base import Skip
from fer_batch.media.video import open_video
from fer_batch.pipeline.sampling import FramesTooSparseError, exact, select
from tests.helpers.clips import make_video, number_in, steady

TICK = Fraction(1, 90000)
MILLISECOND = Fraction(1, 1000)
NTSC = Fraction(30000, 1001)


@dataclass(frozen=True)
class Moment:
    time: Fraction


def moments(times: Sequence[Fraction | float | str]) -> list[Moment]:
    return [Moment(Fraction(str(time))) for time in times]


def chosen(
    times: Sequence[Fraction | float | str], sampling: Sampling, tick: Fraction = TICK, length: Fraction | None = None
) -> list[float]:
    return [float(moment.time) for moment in select(moments(times), sampling, tick, length)]


def rounded(times: Sequence[Fraction], tick: Fraction) -> list[Fraction]:
    return [round(time / tick) * tick for time in times]


def sampled(path: Path, sampling: Sampling) -> list[tuple[float, int]]:
    """The time and number of each sample of a clip, read as the worker does."""
    skip: Skip = "NONKEY" if sampling.mode == "keyframes" else "NONREF" if sampling.fast else "DEFAULT"
    with open_video(str(path)) as reader:
        pictures = reader.frames(skip, sampling.start)
        chosen = list(select(pictures, sampling, reader.tick, reader.stated_end))
        return [(float(picture.time), number_in(picture.luma())) for picture in chosen]


@pytest.mark.parametrize(("fps", "step"), [(1.0, 25), (2.5, 10), (5.0, 5), (12.5, 2), (25.0, 1), (0.5, 50)])
def test_at_a_constant_rate_samples_are_evenly_spaced(fps: float, step: int) -> None:
    assert chosen(steady(25, 101), Sampling(fps=fps)) == [index / 25 for index in range(0, 101, step)]


def test_a_rate_that_does_not_divide_takes_the_first_frame_at_or_after_each_due_time() -> None:
    assert chosen(steady(25, 26), Sampling(fps=4.0)) == [0.0, 0.28, 0.52, 0.76, 1.0]


@pytest.mark.parametrize("tick", [TICK, Fraction(1, 30000), MILLISECOND])
def test_one_a_second_of_29_97(tick: Fraction) -> None:
    times = rounded(steady(NTSC, 120), tick)
    assert chosen(times, Sampling(fps=1.0), tick) == [float(times[number]) for number in (0, 30, 60, 90)]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), NTSC, Fraction(60), Fraction(30), Fraction(25), Fraction(24)])
@pytest.mark.parametrize("shift", ["0", "0.0004", "0.0005", "0.0007"])
def test_rounded_times_lose_no_frame_at_the_frame_rate(rate: Fraction, shift: str) -> None:
    late = rounded([time + Fraction(shift) for time in steady(rate, 900)], MILLISECOND)
    times = [time - late[0] for time in late]
    assert chosen(times, Sampling(fps=round(float(rate), 3)), MILLISECOND) == [float(time) for time in times]


@pytest.mark.parametrize("rate", [25, 30, 10])
def test_a_tick_as_long_as_a_frame_does_not_bring_the_frame_before(rate: int) -> None:
    """AVI, MXF and Y4M count in frames, so one tick early is one frame early."""
    assert chosen(steady(rate, 3 * rate), Sampling(fps=1.0), Fraction(1, rate)) == [0.0, 1.0, 2.0]


def test_a_higher_rate_than_the_frames_gives_each_frame_once() -> None:
    times = steady(10, 20)
    assert chosen(times, Sampling(fps=1000.0)) == [float(time) for time in times]
    assert chosen(times, Sampling(fps=1000.0), Fraction(1, 10)) == [float(time) for time in times]


def test_variable_rate_goes_by_time_and_gaps_are_not_filled() -> None:
    times = [0, 0.1, 0.9, 1.05, 1.1, 4.7, 4.9, 5.0, 5.9]
    assert chosen(times, Sampling(fps=1.0)) == [0.0, 1.05, 4.7, 5.0]


def test_after_a_gap_the_rhythm_stays() -> None:
    assert chosen([0, 3.5, 4.4, 4.6, 5.2], Sampling(fps=1.0)) == [0.0, 3.5, 4.4, 5.2]


def test_frames_that_go_back_in_time_are_not_taken_twice() -> None:
    assert chosen([0, 1, 2, 0, 1, 2, 3], Sampling(fps=1.0)) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        (0.0, 2.0, [0.0, 1.0]),
        (1.0, None, [1.0, 2.0, 3.0]),
        (0.5, 2.5, [0.52, 1.52]),
        (0.48, 1.48, [0.48]),
        (0.48, 1.4801, [0.48, 1.48]),
        (3.96, None, [3.96]),
        (9.0, None, []),
        (1.0, 1.0, []),
    ],
)
def test_start_and_end_bound_the_samples(start: float, end: float | None, wanted: list[float]) -> None:
    assert chosen(steady(25, 100), Sampling(start=start, end=end)) == wanted


def test_decimals_mean_what_they_say() -> None:
    """0.1 as a binary fraction is a little more than a tenth, and would miss the frame at it."""
    assert exact(0.1) == Fraction(1, 10)
    assert chosen(["0", "0.1", "0.2", "0.3"], Sampling(start=0.1, end=0.3)) == [0.1]
    assert chosen(["0", "0.1", "0.2", "0.3"], Sampling(mode="every", start=0.1, end=0.3)) == [0.1, 0.2]


def test_reading_stops_at_the_end() -> None:
    read: list[Fraction] = []

    def source() -> Iterator[Moment]:
        for moment in moments(steady(25, 1000)):
            read.append(moment.time)
            yield moment

    assert len(list(select(source(), Sampling(end=2.0), TICK))) == 2
    assert read[-1] == 2


@pytest.mark.parametrize(("every", "wanted"), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 3, 6]), (7, [0]), (100, [0])])
def test_every_nth_frame_counts_frames(every: int, wanted: list[int]) -> None:
    times = [0, 0.1, 0.9, 1.05, 1.1, 4.7, 4.9]
    assert chosen(times, Sampling(mode="every", every=every)) == [times[index] for index in wanted]


def test_every_nth_frame_counts_from_the_start() -> None:
    assert chosen(steady(10, 12), Sampling(mode="every", every=5, start=0.3)) == [0.3, 0.8]


def test_key_frames_are_taken_as_they_come() -> None:
    sampling = Sampling(mode="keyframes", start=1.0, end=3.0)
    assert chosen([0, 0.4, 1.1, 1.2, 2.9, 3.0], sampling) == [1.1, 1.2, 2.9]


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(fast=True), Sampling(mode="every"), Sampling(mode="keyframes")]
)
def test_nothing_gives_nothing(sampling: Sampling) -> None:
    assert chosen([], sampling) == []


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([0, 0.8, 1.25, 1.95, 2.1, 3.0], [0.0, 0.8, 1.95, 3.0]),
        ([0, 0.8, 1.1, 1.9, 2.2, 3.1], [0.0, 1.1, 1.9, 3.1]),
        ([0.2, 1.2, 2.2], [0.2, 1.2, 2.2]),
        ([0.25, 0.75], [0.25]),
    ],
)
def test_fast_takes_the_nearest(times: list[float], wanted: list[float]) -> None:
    assert chosen(times, Sampling(fast=True)) == wanted


@pytest.mark.parametrize("times", [[0.26], [0, 1.26], [0, 0.7, 1.3], [0, 1, 2, 5], [0, 1, 1.74, 2.26]])
def test_fast_gives_up_where_no_frame_is_near(times: list[float]) -> None:
    with pytest.raises(FramesTooSparseError):
        chosen(times, Sampling(fast=True))


def test_fast_takes_the_last_frame_for_a_due_time_within_the_film() -> None:
    assert chosen([0, 0.9, 1.8], Sampling(fast=True), length=Fraction("2.2")) == [0.0, 0.9, 1.8]
    assert chosen([0, 0.9, 1.8], Sampling(fast=True), length=Fraction("2.0")) == [0.0, 0.9]
    assert chosen([0, 0.9, 1.8], Sampling(fast=True, end=2.0), length=Fraction(9)) == [0.0, 0.9]
    with pytest.raises(FramesTooSparseError):
        chosen([0, 0.9, 1.7], Sampling(fast=True), length=Fraction("2.2"))


def test_fast_gives_no_frame_twice() -> None:
    times = [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]
    assert chosen(times, Sampling(fps=12.5, fast=True)) == [0.0, 0.08]


@pytest.mark.parametrize("b_frames", [0, 1, 3])
@pytest.mark.parametrize("fps", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("start", [0.0, 0.8])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_fast_stays_within_a_quarter_of_the_interval(
    tmp_path: Path, name: str, b_frames: int, fps: float, start: float
) -> None:
    path = make_video(tmp_path / name, steady(25, 75), b_frames=b_frames, tick=MILLISECOND)
    sampling = Sampling(fps=fps, start=start, fast=True)
    fast = sampled(path, sampling)
    normal = sampled(path, replace(sampling, fast=False))
    assert len(fast) == len(normal)
    for index, (time, number) in enumerate(fast):
        assert abs(time - (start + index / fps)) <= 0.25 / fps
        assert time == number / 25


@pytest.mark.parametrize(
    ("sampling", "numbers"),
    [
        (Sampling(fps=29.97), range(90)),
        (Sampling(fps=1.0), (0, 30, 60)),
        (Sampling(fps=1.0, start=0.51), (16, 46, 76)),
        (Sampling(fps=2.0, start=1.0, end=2.0), (30, 45)),
        (Sampling(mode="every", every=40), (0, 40, 80)),
        (Sampling(mode="every", every=30, start=0.5), (15, 45, 75)),
        (Sampling(mode="keyframes", end=1.0), (0, 12, 24)),
        (Sampling(mode="keyframes", start=1.0), (36, 48, 60, 72, 84)),
    ],
)
def test_every_sample_of_a_clip_is_the_right_picture(
    tmp_path: Path, sampling: Sampling, numbers: Sequence[int]
) -> None:
    times = rounded(steady(NTSC, 90), MILLISECOND)
    path = make_video(tmp_path / "a.mkv", times, tick=MILLISECOND, rate=NTSC, b_frames=2)
    assert sampled(path, sampling) == [(float(times[number]), number) for number in numbers]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mxf", "mpeg2video"), ("a.y4m", "wrapped_avframe")]
)
def test_one_a_second_of_a_clip(tmp_path: Path, name: str, codec: str) -> None:
    path = make_video(tmp_path / name, steady(25, 75), codec=codec, tick=Fraction(1, 25))
    assert sampled(path, Sampling(fps=1.0)) == [(0.0, 0), (1.0, 25), (2.0, 50)]
