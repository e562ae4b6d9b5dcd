"""Time stamps that run on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest

from fer_batch.media.base import ReadStats
from fer_batch.media.timeline import continuous, from_group_before

TICK = Fraction(1, 100)


@dataclass
class Packet:
    pts: int | None
    dts: int | None
    is_keyframe: bool = False
    size: int = 1
    is_discard: bool = False


def packets(*stamps: int | None) -> list[Packet]:
    return [Packet(stamp, stamp) for stamp in stamps]


@pytest.mark.parametrize(
    ("stamps", "continued", "joins"),
    [
        pytest.param([0, 4, 8, 12], [0, 4, 8, 12], 0, id="steady"),
        pytest.param([0, 4, 8, 0, 4, 8], [0, 4, 8, 0, 4, 8], 0, id="back by less than a second"),
        pytest.param([500, 504, 508, 0, 4, 8], [500, 504, 508, 512, 516, 520], 1, id="two recordings"),
        pytest.param([500, 504, 0, 400, 0, 4], [500, 504, 508, 908, 1008, 1012], 2, id="three recordings"),
        pytest.param([0, 4, 9000, 9004], [0, 4, 9000, 9004], 0, id="a gap"),
        pytest.param([0, 4, 900000, 8, 12], [0, 4, None, 8, 12], 0, id="one absurd stamp"),
        pytest.param([0, 4, 900000], [0, 4, 900000], 0, id="a gap before the last"),
        pytest.param([500, None, 504, 0, None], [500, None, 504, 508, None], 1, id="some without"),
    ],
)
def test_time_stamps_run_on(stamps: list[int | None], continued: list[int | None], joins: int) -> None:
    stats = ReadStats()
    given = list(continuous(packets(*stamps), TICK, stats))
    assert [packet.pts for packet in given] == continued
    assert [packet.dts for packet in given] == continued
    assert stats.joins == joins


def test_presentation_order_within_a_recording_is_kept() -> None:
    first = [Packet(500, 496), Packet(512, 500), Packet(504, 504), Packet(508, 508)]
    second = [Packet(0, -4), Packet(12, 0), Packet(4, 4), Packet(8, 8)]
    given = list(continuous([*first, *second], TICK, ReadStats()))
    assert [packet.pts for packet in given] == [500, 512, 504, 508, 516, 528, 520, 524]


def test_time_stamps_of_packets_that_an_edit_list_cuts_away_do_not_count() -> None:
    cut_away = [Packet(stamp, stamp, is_discard=True) for stamp in (12, 900, -800, 8)]
    stats = ReadStats()
    given = list(continuous([*packets(0, 4, 8), *cut_away, *packets(12, 16)], TICK, stats))
    assert [packet.pts for packet in given] == [0, 4, 8, 12, 900, -800, 8, 12, 16]
    assert (stats.joins, stats.gaps_s) == (0, 0)


@pytest.mark.parametrize(("start", "first"), [(0, 0), (5, 0), (39, 0), (40, 40), (75, 40), (500, 80)])
def test_reading_begins_with_the_group_that_holds_the_start(start: int, first: int) -> None:
    stream = [Packet(stamp, stamp, stamp % 40 == 0) for stamp in range(0, 120, 4)]
    given = list(from_group_before(stream, start))
    assert [packet.pts for packet in given] == list(range(first, 120, 4))


def test_a_long_group_of_pictures_is_not_gathered() -> None:
    stream = [Packet(stamp, stamp, stamp == 0) for stamp in range(5000)]
    assert len(list(from_group_before(iter(stream), 4000))) == 5000
