"""Figures as text: units, intervals, and what is too uncertain to print."""

from __future__ import annotations

import math

import pytest

from fer_batch.emotions import EMOTIONS
from fer_batch.palette import EMOTION_STYLES
from fer_batch.report.formatting import TOO_FEW, estimate, format_count, format_duration, format_span, format_time


@pytest.mark.parametrize(
    ("name", "low", "value", "high", "text", "interval"),
    [
        ("happy", 0.081, 0.204, 0.3, "20%", "8–30%"),
        ("valence", -0.25, -0.1, 0.054, "−0.10", "−0.25 to +0.05"),
        ("engagement", 52.3, 74.0, 95.7, "74", "52–96"),
        ("faces_per_frame", 1.0, 1.4, 1.9, "1.4", "1.0–1.9"),
    ],
)
def test_estimate_is_printed_in_the_unit_of_its_measure(
    name: str, low: float, value: float, high: float, text: str, interval: str
) -> None:
    mean = estimate({name: value, f"{name}_low": low, f"{name}_high": high}, name)
    assert (mean.text, mean.interval, mean.reliable) == (text, interval, True)


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
def test_unknown_or_wide_interval_is_not_printed(name: str, low: object, value: float, high: object) -> None:
    mean = estimate({name: value, f"{name}_low": low, f"{name}_high": high}, name)
    assert (mean.known, mean.reliable, mean.interval) == (True, False, TOO_FEW)


def test_unknown_mean_is_printed_as_a_dash() -> None:
    for row in ({}, {"happy": None}, {"happy": math.nan}):
        mean = estimate(row, "happy")
        assert (mean.text, mean.interval, mean.known) == ("–", "", False)


def test_estimate_has_positions_on_the_scale() -> None:
    mean = estimate({"valence": 0.0, "valence_low": -0.5, "valence_high": 0.5}, "valence")
    assert mean.positions == {"value": 50.0, "low": 25.0, "high": 75.0}


def test_times_and_counts_are_printed_with_units() -> None:
    assert [format_time(seconds) for seconds in (0, 59.96, 61, 3723.4)] == ["0:00", "1:00", "1:01", "1:02:03.4"]
    assert format_span(90, 100) == "1:30–1:40"
    seconds = (3.41, 12.4, 89.4, 89.6, 600, 5369, 9000)
    expected = ["3.4 s", "12 s", "89 s", "1.5 min", "10 min", "89 min", "2.5 h"]
    assert [format_duration(value) for value in seconds] == expected
    assert [format_count(1, "video"), format_count(12000, "video")] == ["1 video", "12,000 videos"]


def luminance(colour: str) -> float:
    """The relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_palette_has_a_distinct_style_for_each_emotion_in_both_themes() -> None:
    assert list(EMOTION_STYLES) == list(EMOTIONS)
    for theme in ("light", "dark"):
        assert len({getattr(style, theme) for style in EMOTION_STYLES.values()}) == len(EMOTIONS)
    solid = [style for style in EMOTION_STYLES.values() if not style.dash]
    assert len({style.dash for style in EMOTION_STYLES.values() if style.dash}) == len(EMOTIONS) - len(solid)


def test_palette_is_lighter_on_dark_pages() -> None:
    for style in EMOTION_STYLES.values():
        assert luminance(style.dark) > luminance(style.light)
