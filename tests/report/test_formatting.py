"""Figures as text: units, intervals, and what is too uncertain to print."""

from __future__ import annotations

import math

import pytest

from fer_batch.emotions import EMOTIONS
from fer_batch.report.formatting import STYLES, TOO_FEW, clock, counted, figure, length, span


@pytest.mark.parametrize(
    ("name", "low", "value", "high", "text", "interval"),
    [
        ("happy", 0.081, 0.204, 0.3, "20%", "8–30%"),
        ("valence", -0.25, -0.1, 0.054, "−0.10", "−0.25 to +0.05"),
        ("engagement", 52.3, 74.0, 95.7, "74", "52–96"),
        ("faces_per_frame", 1.0, 1.4, 1.9, "1.4", "1.0–1.9"),
    ],
)
def test_figures_in_their_units(name: str, low: float, value: float, high: float, text: str, interval: str) -> None:
    one = figure({name: value, f"{name}_low": low, f"{name}_high": high}, name)
    assert (one.text, one.interval, one.sure) == (text, interval, True)


@pytest.mark.parametrize(
    ("name", "low", "value", "high"),
    [
        ("happy", None, 0.2, None),
        ("happy", 0.1, 0.4, 0.61),  # More than half of 0 to 1,
        ("engagement", 20.0, 50.0, 71.0),  # of 0 to 100,
        ("valence", -0.6, 0.0, 0.41),  # of -1 to 1,
        ("faces_per_frame", 1.0, 2.0, 3.1),  # or than the mean itself.
    ],
)
def test_an_interval_that_tells_nothing_is_not_printed(name: str, low: object, value: float, high: object) -> None:
    one = figure({name: value, f"{name}_low": low, f"{name}_high": high}, name)
    assert (one.known, one.sure, one.interval) == (True, False, TOO_FEW)


def test_a_mean_that_is_unknown_is_a_dash_and_never_a_zero() -> None:
    for row in ({}, {"happy": None}, {"happy": math.nan}):
        one = figure(row, "happy")
        assert (one.text, one.interval, one.known) == ("–", "", False)


def test_places_on_the_scale() -> None:
    one = figure({"valence": 0.0, "valence_low": -0.5, "valence_high": 0.5}, "valence")
    assert one.place == {"value": 50.0, "low": 25.0, "high": 75.0}


def test_times_and_counts() -> None:
    assert [clock(each) for each in (0, 59.96, 61, 3723.4)] == ["0:00", "1:00", "1:01", "1:02:03.4"]
    assert span(90, 100) == "1:30–1:40"
    assert [length(each) for each in (12.4, 600, 9000)] == ["12 s", "10 min", "2.5 h"]
    assert [counted(1, "video"), counted(12000, "video")] == ["1 video", "12,000 videos"]


def test_emotions_differ_in_colour_and_those_of_one_dash_strongly() -> None:
    assert list(STYLES) == list(EMOTIONS)
    for theme in ("light", "dark"):
        assert len({style[theme] for style in STYLES.values()}) == len(EMOTIONS)
