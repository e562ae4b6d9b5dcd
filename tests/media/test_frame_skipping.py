"""Leaving out what is not asked for changes no frame that is, nor which frames are chosen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fer_batch.config import Sampling
from fer_batch.media import frame_skipping
from fer_batch.media.frame import DecodedFrame
from fer_batch.media.frame_skipping import skip_after_last, skip_unneeded
from fer_batch.media.video import open_video
from fer_batch.pipeline.sampling import FramesTooSparseError, exact, is_due, last_due, select
from tests.helpers.clips import make_video, number_in, scramble, steady
from tests.helpers.grids import grid

MILLISECOND = Fraction(1, 1000)

#: Kinds of groups of pictures, as options of `make_video`.
GROUPS: dict[str, dict[str, Any]] = {
    "long": {"b_frames": 3, "gop": 100},
    "short": {"b_frames": 3, "gop": 17},
    "open": {"b_frames": 2, "gop": 20, "open_gop": True},
    "no B frames": {"b_frames": 0, "gop": 50},
}


def chosen(path: Path, sampling: Sampling, leave_out: bool) -> tuple[list[tuple[Fraction, bytes]], int]:
    """The chosen frames with their pixels, and how many were decoded."""
    decoded = 0

    def counted(pictures):  # type: ignore[no-untyped-def]
        nonlocal decoded
        for picture in pictures:
            decoded += 1
            yield picture

    with open_video(str(path)) as reader:
        plan = partial(skip_unneeded, is_needed=is_due(sampling, reader.tick)) if leave_out else None
        pictures = counted(reader.frames("DEFAULT", sampling.start, plan))
        frames = [
            (frame.time, frame.luma().tobytes()) for frame in select(pictures, sampling, reader.tick, reader.stated_end)
        ]
    return frames, decoded


def uneven(count: int) -> list[Fraction]:
    rng = random.Random(count)
    times = [Fraction(0)]
    while len(times) < count:
        times.append(times[-1] + Fraction(rng.choice([20, 33, 40, 80, 300]), 1000))
    return times


@pytest.mark.parametrize(
    ("most", "sampling", "options", "times"),
    grid(
        [512, 33],
        [Sampling(fps=1.0), Sampling(fps=3.0, start=2.1), Sampling(fps=25.0)],
        [*GROUPS.values(), {"b_frames": 3, "gop": 250}],
        [steady(25, 200), uneven(200)],
    ),
)
def test_the_chosen_frames_are_the_same(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    sampling: Sampling,
    options: dict[str, Any],
    times: list[Fraction],
) -> None:
    path = make_video(tmp_path / "a.mkv", times, tick=MILLISECOND, **options)
    monkeypatch.setattr(frame_skipping, "_MAX_GROUP", most)
    all_frames, all_decoded = chosen(path, sampling, leave_out=False)
    frames, decoded = chosen(path, sampling, leave_out=True)
    assert frames == all_frames
    assert len(frames) > 3
    assert decoded < 0.8 * all_decoded or sampling.fps > 7 or most < 512 or not options["b_frames"]


def in_haste(path: Path, sampling: Sampling, up_to: bool) -> tuple[dict[Fraction, bytes] | None, int]:
    """What fast sampling gives and how many frames were decoded for it; None where frames lie too far apart."""
    decoded = 0
    with open_video(str(path)) as reader:
        plan = partial(skip_after_last, last_needed=last_due(sampling)) if up_to else None

        def counted() -> Iterator[DecodedFrame]:
            nonlocal decoded
            for picture in reader.frames("NONREF", sampling.start, plan):
                decoded += 1
                yield picture

        try:
            shown = list(select(counted(), sampling, reader.tick, reader.stated_end))
        except FramesTooSparseError:
            return None, decoded
    return {frame.time: frame.luma().tobytes() for frame in shown}, decoded


@pytest.mark.parametrize(
    ("most", "sampling", "options", "times"),
    grid(
        [512, 33],
        [Sampling(fps=1.0), Sampling(fps=3.0, start=2.1, end=7.3), Sampling(fps=0.2)],
        list(GROUPS.values()),
        [steady(25, 250), uneven(250)],
    ),
)
def test_haste_takes_frames_as_they_are_and_near_enough(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    sampling: Sampling,
    options: dict[str, Any],
    times: list[Fraction],
) -> None:
    path = make_video(tmp_path / "a.mkv", times, tick=MILLISECOND, **options)
    monkeypatch.setattr(frame_skipping, "_MAX_GROUP", most)
    sampling = replace(sampling, fast=True)
    with open_video(str(path)) as reader:
        true = {picture.time: picture.luma().tobytes() for picture in reader.frames()}
    before, all_decoded = in_haste(path, sampling, up_to=False)
    frames, decoded = in_haste(path, sampling, up_to=True)
    if before is None:  # Such a film is sampled exactly.
        return
    assert frames is not None
    assert frames.items() <= true.items()
    assert len(frames) == len(before)
    assert decoded <= all_decoded
    for place, time in enumerate(frames):
        due = exact(sampling.start) + place / exact(sampling.fps)
        assert abs(time - due) <= 1 / exact(sampling.fps) / 4


def test_where_every_sample_has_a_key_frame_near_no_other_is_decoded(tmp_path: Path) -> None:
    """But for those behind the last one: nothing tells where they end."""
    path = make_video(tmp_path / "a.mp4", steady(25, 255), b_frames=3, gop=25)
    frames, decoded = in_haste(path, Sampling(fps=1.0, fast=True), up_to=True)
    assert frames is not None
    assert list(frames) == list(range(11))
    assert 11 <= decoded <= 11 + 5


def test_a_damaged_film_gives_no_less_than_it_did(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", steady(25, 200), b_frames=3, gop=20, faststart=True)
    scramble(path, 0.5, 0.55, after=b"mdat")
    frames, _ = chosen(path, Sampling(fps=5.0), leave_out=True)
    all_frames, _ = chosen(path, Sampling(fps=5.0), leave_out=False)
    assert len(frames) >= len(all_frames) - 1
    assert dict(frames).keys() >= {time for time, _ in all_frames if time < 3 or time > 5}


@pytest.mark.parametrize("name", ["a.ts", "a.avi"])
def test_where_order_is_not_sure_all_is_decoded(tmp_path: Path, name: str) -> None:
    codec, tick = ("mpeg4", Fraction(1, 25)) if name == "a.avi" else ("libx264", MILLISECOND)
    path = make_video(tmp_path / name, steady(25, 100), b_frames=0, gop=20, codec=codec, tick=tick)
    plan = partial(skip_unneeded, is_needed=lambda time: False)
    with open_video(str(path)) as reader:
        numbers = [number_in(frame.luma()) for frame in reader.frames("DEFAULT", 0, plan)]
    assert numbers == list(range(100))


@dataclass
class Packet:
    pts: int | None
    is_keyframe: bool = False
    size: int = 1
    is_discard: bool = False


def test_packets_without_a_time_stamp_are_needed() -> None:
    packets = [Packet(0, True), Packet(2), Packet(1), Packet(3, True), Packet(None), Packet(5), Packet(None, size=0)]
    asked: list[int] = []

    def want(time: Fraction) -> bool:
        asked.append(int(time))
        return time == 1

    decisions = [skip for _, skip in skip_unneeded(packets, Fraction, want)]
    assert decisions == ["NONREF"] * 2 + ["DEFAULT"] * 5
    assert asked == [0, 1, 2, 3, 5]
