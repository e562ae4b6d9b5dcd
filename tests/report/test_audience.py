"""The audience part of the report: made from the tables of real studies, opened in a headless Chromium."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer_batch.report.audience.highlights import format_change, format_p, headline, moments
from fer_batch.report.audience.loader import LEVELS, MISSING, StimulusTables, join, read_study, to_levels
from fer_batch.report.build import report
from tests.helpers.chromium import chromium
from tests.helpers.study_folder import make_study

Page = Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def two_groups(tmp_path_factory: pytest.TempPathFactory, scored_file: Callable) -> Path:
    out = make_study(tmp_path_factory.mktemp("two"), scored_file, 10, ("A", "<b>B</b>"))
    report(out)
    return out


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Page]]:
    """Opens a report, and asserts that no script failed on it."""
    problems: list[str] = []
    contexts = []

    def open_page(out: Path, width: int = 1280) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((out / "report.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def drawn(page: Page, kind: str, inner: str = "svg") -> Any:
    """A chart, once it is drawn."""
    chart = page.locator(f'.audience .chart[data-kind="{kind}"]').first
    chart.scroll_into_view_if_needed()
    chart.locator(inner).first.wait_for()
    return chart


def embedded(out: Path, identifier: str) -> Any:
    text = (out / "report.html").read_text(encoding="utf-8")
    return json.loads(re.search(rf'id="{identifier}">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]


def test_report_with_a_study_opens_with_the_audience(two_groups: Path, opened: Callable) -> None:
    page = opened(two_groups)
    assert page.locator("main h2").first.inner_text() == "Audience: film"
    headline = page.locator(".audience .headline").inner_text()
    assert headline.startswith("Largest reaction: 0:36–0:42 in the joke, happy ")
    curve = drawn(page, "curve").inner_text()
    for segment in ("baseline", "opening", "the joke", "ending"):
        assert segment in curve
    assert "Respondents with a face" in curve
    assert page.locator(".audience h3:has-text('Who was analysed?') + .big").inner_text() == "10 respondents"
    assert page.locator(".audience h3:has-text('When did they react most?') + .big").inner_text() == "0:36–0:42"
    moments_table = page.locator(".audience table").first.inner_text()
    assert "Happy up" in moments_table
    assert "10 of 10 above" in moments_table


def test_curve_by_factor_has_a_line_for_each_value(two_groups: Path, opened: Callable) -> None:
    page = opened(two_groups)
    chart = drawn(page, "curve")
    page.select_option(".audience [name=factor]", "group")
    assert "A" in chart.inner_text()
    assert "<b>B</b>" in chart.inner_text()
    before = chart.locator("path").count()
    page.check(".audience [name=lines]")
    assert chart.locator("path, polyline").count() > before


def test_strips_have_a_canvas_and_say_what_is_missing(two_groups: Path, opened: Callable) -> None:
    page = opened(two_groups)
    canvas = drawn(page, "strips", "canvas").locator("canvas")
    tip = page.locator(".audience .floating")
    box = canvas.bounding_box()
    found = set()
    for row in range(10):
        canvas.hover(position={"x": box["width"] * 0.5, "y": 40 + 20 * row})
        found.add(tip.inner_text().split(" · ")[-1].split(" ")[0])
    assert found >= {"happy", "no"}  # A value, and no face found.


def test_forest_plot_lists_each_segment_and_its_table_sorts(two_groups: Path, opened: Callable) -> None:
    page = opened(two_groups)
    forest = drawn(page, "forest")
    assert "the joke" in forest.inner_text()
    page.locator(".audience details.data > summary").click()
    heads = page.locator(".audience details.data th button")
    heads.first.wait_for()
    page.locator(".audience details.data th button", has_text="Adjusted p").click()
    page.locator(".audience details.data th button", has_text="Adjusted p").click()
    keys = page.locator(".audience details.data tbody tr").evaluate_all(
        "rows => rows.map(row => row.cells[7].dataset.sort)"
    )
    known = [float(key) for key in keys if key]
    assert known == sorted(known)
    assert len(keys) > 10


def test_curve_data_equal_the_table(two_groups: Path) -> None:
    table = pd.read_parquet(two_groups / "study" / "curve.parquet")
    table = table[table["factor"].isna()]
    curve = embedded(two_groups, "audience-1-curves")["curves"][0]
    for name, scale in (("happy", 1000), ("engagement", 10)):
        for column, end in zip(curve["values"][name], ("", "_low", "_high", "_band_low", "_band_high"), strict=True):
            np.testing.assert_allclose(np.array(column) / scale, table[f"{name}{end}"], atol=0.51 / scale)
    assert curve["respondents"] == table["respondents"].tolist()


def test_strips_equal_the_curves_of_the_respondents(two_groups: Path) -> None:
    table = pd.read_parquet(two_groups / "study" / "respondent_curves.parquet")
    data = embedded(two_groups, "audience-1-cells")
    levels = np.frombuffer(base64.b64decode(data["values"]["happy"]), np.uint8).reshape(len(data["rows"]), -1)
    wide = table.pivot(index="respondent", columns="bin_start_s", values="happy").loc[data["rows"]].to_numpy(float)
    assert (levels == MISSING).tolist() == np.isnan(wide).tolist()
    np.testing.assert_allclose(levels[levels != MISSING] / LEVELS, wide[~np.isnan(wide)], atol=0.51 / LEVELS)
    assert (levels == MISSING).any()  # R004 has no face for a while.


def test_two_respondents_get_values_without_intervals(tmp_path: Path, scored_file: Callable, opened: Callable) -> None:
    out = make_study(tmp_path, scored_file, 2)
    report(out)
    page = opened(out)
    drawn(page, "curve")
    assert (
        page.locator(".audience h3:has-text('When did they react most?') + .big").inner_text() == "Too few respondents"
    )
    assert "at least three respondents" in page.locator(".audience").inner_text()


def test_study_without_a_face_says_so(tmp_path: Path, scored_file: Callable, opened: Callable) -> None:
    out = make_study(tmp_path, scored_file, 4, ("A", "B"), faces=False)
    report(out)
    page = opened(out)
    drawn(page, "strips", "canvas")
    assert "No face was found in the recordings" in page.locator(".audience .notice").inner_text()
    assert page.locator('.audience .chart[data-kind="forest"]').count() == 0
    words = re.findall(r"\w+", page.locator(".audience").inner_text())
    assert not {"nan", "None", "null", "undefined", "Infinity"} & set(words)


def test_factor_with_one_value_for_all_is_not_compared(tmp_path: Path, scored_file: Callable, opened: Callable) -> None:
    out = make_study(tmp_path, scored_file, 4, ("everybody",))
    report(out)
    page = opened(out)
    drawn(page, "curve")
    assert page.locator('.audience [name="factor"]').count() == 0
    assert "by group" not in page.locator('.audience [name="sort"]').inner_text()
    assert len(embedded(out, "audience-1-curves")["curves"]) == 1
    segments = page.locator("table", has=page.locator("#audience-1-segments"))
    assert "Group" not in segments.locator("thead").inner_text()
    assert segments.locator("tbody tr").count() == 6  # The five segments and the whole stimulus.
    assert "group: everybody 4." in page.locator(".audience .answers").inner_text()


def test_printed_tables_of_the_audience_lie_across_the_page_in_type_that_can_be_read(
    two_groups: Path, opened: Callable
) -> None:
    page = opened(two_groups)
    page.emulate_media(media="print")
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.audience table :is(th, td, .interval)')]"
        ".filter((cell) => cell.offsetParent).map((cell) => parseFloat(getComputedStyle(cell).fontSize)))"
    )
    assert smallest * 0.75 >= 8  # Points.
    style = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"
    assert page.evaluate(style, [".landscape", "page"]) == "landscape"
    assert page.evaluate(style, [".audience thead", "display"]) == "table-header-group"
    assert page.evaluate(style, [".audience thead button", "display"]) == "contents"


def test_study_without_a_baseline_compares_with_the_stimulus_mean(
    tmp_path: Path, scored_file: Callable, opened: Callable
) -> None:
    out = make_study(tmp_path, scored_file, 5, baseline=False)
    report(out)
    page = opened(out)
    assert "There is no segment named baseline" in page.locator(".audience .hint").first.inner_text()
    assert page.locator(".audience [name=compare]").count() == 0


def test_audience_on_a_phone_is_not_wider_than_the_screen(two_groups: Path, opened: Callable) -> None:
    page = opened(two_groups, width=360)
    for kind, inner in (("curve", "svg"), ("strips", "canvas"), ("forest", "svg")):
        drawn(page, kind, inner)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_audience_is_accessible(two_groups: Path, opened: Callable) -> None:
    page = opened(two_groups)
    assert page.locator(".audience table:not(:has(caption))").count() == 0
    assert page.locator(".audience .chart:not([aria-label])").count() == 0
    identifiers = page.locator("[id]").evaluate_all(
        "all => all.map(item => item.id).filter(id => !id.startsWith('zr'))"
    )
    assert len(identifiers) == len(set(identifiers))
    assert page.locator(".audience select").evaluate_all("all => all.every(item => item.closest('label'))")


def test_the_same_study_gives_the_same_report(two_groups: Path) -> None:
    before = (two_groups / "report.html").read_bytes()
    report(two_groups)
    assert (two_groups / "report.html").read_bytes() == before


def bins(*starts: float, measure: str = "happy", change: float = 0.3) -> list[dict[str, Any]]:
    row = {"measure": measure, "direction": "high" if change > 0 else "low", "value": 0.5, "reference": 0.2}
    row |= {"change": change, "change_band_low": change - 0.1, "change_band_high": change + 0.1, "respondents": 9}
    row |= {"respondents_beyond": 8, "compared_with": "baseline"}
    return [{**row, "bin_start_s": start, "bin_end_s": start + 1, "rank": i} for i, start in enumerate(starts, 1)]


def test_adjacent_bins_are_one_moment_and_large_changes_come_first() -> None:
    table = pd.DataFrame([*bins(4, 3, 5, 9), *bins(7, measure="valence", change=-0.9)])
    empty = pd.DataFrame()
    found = moments(StimulusTables("film", empty, empty, empty, empty, table, [], None), 1.0)
    assert [(moment.measure, moment.start, moment.end) for moment in found] == [
        ("valence", 7.0, 8.0),
        ("happy", 3.0, 6.0),
        ("happy", 9.0, 10.0),
    ]
    assert found[1].rank == 1


def test_expressiveness_comes_before_neutral_where_both_change_as_much() -> None:
    table = pd.DataFrame(
        [*bins(4, measure="neutral", change=-0.6000001), *bins(4, measure="expressiveness", change=0.6)]
    )
    empty = pd.DataFrame()
    found = moments(StimulusTables("film", empty, empty, empty, empty, table, [], None), 1.0)
    assert [moment.measure for moment in found] == ["expressiveness", "neutral"]


def test_headline_names_each_stretch_of_time_once_and_its_segment() -> None:
    table = pd.DataFrame([*bins(3, 4), *bins(3, measure="engagement"), *bins(20, change=0.2)])
    segments = pd.DataFrame({"segment": [None, "joke"], "start_s": [0.0, 2.0], "end_s": [30.0, 6.0]})
    empty = pd.DataFrame()
    stimulus = StimulusTables("film", empty, segments, empty, empty, table, [], None)
    text = headline(stimulus, moments(stimulus, 1.0))
    assert text is not None
    assert text.startswith("Largest reactions: 0:03–0:05 in joke, happy ")
    assert "; 0:20–0:21, happy " in text
    assert "engagement" not in text
    assert headline(stimulus, []) is None


def test_join_is_a_weighted_mean_of_the_known_values() -> None:
    values, weight = np.array([0.2, 0.5, np.nan, np.nan]), np.array([1.0, 2.0, 5.0, 5.0])
    joined = join(values, weight, np.array([0, 2]))
    assert joined[0] == pytest.approx(0.4)
    assert np.isnan(joined[1])


def test_levels_cover_the_range_of_the_measure() -> None:
    assert to_levels(np.array([-1.0, 0.0, 1.0, np.nan]), -1.0, 1.0).tolist() == [0, LEVELS // 2, LEVELS, MISSING]


def test_changes_and_p_values_are_printed_with_their_signs() -> None:
    assert [format_change("happy", value) for value in (0.123, -0.004, 0.0, float("nan"))] == [
        "+12",
        "−0.4",
        "+0.0",
        "–",
    ]
    assert format_change("valence", -0.3) == "−0.30"
    assert format_change("engagement_change", 4.44) == "+4.4"
    assert [format_p(value) for value in (0.0004, 0.0126, None)] == ["< 0.001", "= 0.013", "unknown"]


@pytest.mark.slow
def test_long_study_stays_small(tmp_path: Path, scored_file: Callable) -> None:
    out = make_study(tmp_path, scored_file, 4, seconds=1500)
    study = read_study(out)
    assert len(study.stimuli[0].curves[0].start) <= 600
    assert study.stimuli[0].curves[0].width == 3.0
