"""The report, made from tables and opened in a real headless Chromium."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_batch.analysis.summarize import summarize
from fer_batch.emotions import EMOTIONS
from fer_batch.explanations import EXPLANATIONS
from fer_batch.measures import DEFINITIONS
from fer_batch.records import Code, Failure, Stage
from fer_batch.report.build import has_report, report
from fer_batch.tables.commit import commit_part
from fer_batch.tables.schema import ClassifiedFile, to_tables
from tests.helpers.chromium import chromium

HOSTILE = "<img src=x onerror=alert(1)>.mp4"
CLOSING = "</script><script>alert(2)</script>{{ 7*7 }}.jpg"
Page = Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Page]]:
    """Opens a report and holds that nothing on it fails, alerts, or asks for anything beside the file itself."""
    troubles: list[str] = []
    contexts = []

    def open_page(out: Path, width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else troubles.append(request.url),
        )
        page.goto((out / "report.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """An output folder with summaries and a report, from scored files."""

    def build(files: Sequence[ClassifiedFile], window: float = 5.0, run: dict[str, Any] | None = None) -> Path:
        commit_part(tmp_path, 1, to_tables(files, EMOTIONS), {}, {})
        summarize(tmp_path, window)
        if run is not None:
            (tmp_path / "run.json").write_text(json.dumps(run))
        report(tmp_path)
        return tmp_path

    return build


@pytest.fixture
def video(scored_file: Callable) -> Callable[..., ClassifiedFile]:
    """A video of so many seconds, one face and one frame a second, that smiles by so much at some of them."""

    def build(path: str, seconds: int, smile: float = 0.3, at: Sequence[int] = (), **more: Any) -> ClassifiedFile:
        random = np.random.default_rng(seconds)
        happy = np.clip(smile + random.normal(0, 0.02, seconds), 0, 1)
        happy[list(at)] = 0.9
        rows = []
        for share in happy:
            face = np.zeros(len(EMOTIONS))
            face[EMOTIONS.index("happy")], face[EMOTIONS.index("neutral")] = share, 1 - share
            rows.append(face)
        return scored_file(path, [(float(i), [face]) for i, face in enumerate(rows)], **more)

    return build


def chart_text(page: Page, selector: str) -> str:
    page.locator(selector).first.scroll_into_view_if_needed()  # It is drawn when it comes into view.
    page.locator(f"{selector} svg").first.wait_for()
    return str(page.locator(selector).first.inner_text())


def column(page: Page, table: str, index: int) -> list[str]:
    return list(
        page.locator(f"#{table} tbody tr").evaluate_all(f"rows => rows.map(row => row.cells[{index}].dataset.sort)")
    )


def test_the_page_answers_in_words(made: Callable, video: Callable, opened: Callable) -> None:
    # Of fewer than seven frames a window's mean has no interval, so no moment could stand out.
    page = opened(made([video("calm.mp4", 60), video("merry.mp4", 300, 0.5, at=range(20, 30))], window=10.0))
    assert page.locator("h3:has-text('How many faces were in view?') + .big").inner_text() == "1.0 faces"
    assert page.locator("h3:has-text('To what?') + .big").inner_text() == "merry.mp4"
    when = page.locator("h3:has-text('When did they react?') + .big").inner_text()
    assert when == "0:20–0:30"
    assert page.locator("h3:has-text('How certain is it?') + .big").inner_text() == "2 of 2 files read"
    moments = page.locator("#moments tbody").inner_text()
    assert "merry.mp4" in moments
    assert "calm.mp4" not in moments


def test_a_video_opens_with_its_charts_and_their_table(made: Callable, video: Callable, opened: Callable) -> None:
    page = opened(made([video(f"{name}.mp4", 100, at=range(50, 60)) for name in "abc"]))
    assert page.locator(".video .chart svg").count() == 0  # Made when a video is opened.
    page.locator("#video-2 > summary").click()
    text = chart_text(page, "#video-2 .chart")
    for title in ("Apparent expressions", "Valence", "Engagement", "Face presence", "Faces in frames with a face"):
        assert title in text
    assert page.locator(".video .chart svg").count() == 1
    sad = page.locator("#video-2 .legend button", has_text="sad")
    before = sad.get_attribute("aria-pressed")
    sad.press("Enter")
    assert sad.get_attribute("aria-pressed") != before
    page.locator("#video-2 details.data > summary").click()
    rows = page.locator("#video-2 details.data tbody tr")
    rows.first.wait_for()  # It is made when it is opened.
    assert rows.count() == 20
    assert rows.nth(10).locator("th").inner_text() == "0:50–0:55"
    assert rows.nth(10).locator("td").nth(EMOTIONS.index("happy")).inner_text().startswith("90%")


def test_the_table_sorts_by_button_and_keyboard(made: Callable, video: Callable, opened: Callable) -> None:
    page = opened(made([video("a.mp4", 30, 0.5), video("b10.mp4", 30, 0.2), video("b9.mp4", 30, 0.8)]))
    assert column(page, "videos-table", 0) == ["b9.mp4", "a.mp4", "b10.mp4"]  # By engagement.
    name = page.locator("#videos-table thead th").nth(0)
    name.locator("button").click()
    assert column(page, "videos-table", 0) == ["a.mp4", "b9.mp4", "b10.mp4"]
    assert name.get_attribute("aria-sort") == "ascending"
    name.locator("button").press("Enter")
    assert column(page, "videos-table", 0) == ["b10.mp4", "b9.mp4", "a.mp4"]
    assert name.get_attribute("aria-sort") == "descending"
    page.locator("#videos-table tbody a").first.click()
    assert page.locator("details.video[open] > summary").inner_text().startswith("b10.mp4")


def test_the_theme_follows_the_system_until_it_is_switched(made: Callable, video: Callable, opened: Callable) -> None:
    page = opened(made([video("a.mp4", 30)]), dark=True)
    shade = "parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    assert page.evaluate(shade) < 60
    page.locator("#theme").click()
    assert page.evaluate(shade) > 200
    assert page.locator("#theme").inner_text() == "Dark"


def test_names_from_outside_stay_text(made: Callable, video: Callable, scored_file: Callable, opened: Callable) -> None:
    message = f"{CLOSING}: can't be read"
    files = [
        video(HOSTILE, 300, 0.5, at=range(20, 30)),
        video("other.mp4", 60, 0.1),
        scored_file(CLOSING, [], failure=Failure(Stage.DECODE, Code.INVALID_DATA, message)),
    ]
    run = {"configuration": {"inputs": [f"/data/{HOSTILE}"]}, "model": {"name": CLOSING}, "status": "<b>odd</b>"}
    page = opened(made(files, run=run))
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("#videos-table tbody a").first.inner_text() == HOSTILE
    assert HOSTILE in chart_text(page, ".compared")
    page.locator("#videos summary", has_text=HOSTILE).click()
    assert "Valence" in chart_text(page, "details[open] .chart")
    page.locator("details[open] .chart").hover()
    page.locator(".compared").hover()
    assert CLOSING in page.locator("#coverage").inner_text()
    assert CLOSING in page.locator("#made").inner_text()
    assert page.locator("img, b").count() == 0
    assert page.locator("script:not([type])").count() == 7


def test_the_page_lets_no_other_script_run_and_reaches_nothing(made: Callable, video: Callable, browser: Any) -> None:
    out = made([video("a.mp4", 30)])
    page = browser.new_page()
    page.goto((out / "report.html").as_uri())
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    failed = page.evaluate("fetch('https://example.org').then(() => false, () => true)")
    assert page.evaluate("window.ran") is None
    assert failed
    assert any("Content Security Policy" in text for text in refused)
    page.close()


def test_a_run_in_which_every_file_failed(made: Callable, scored_file: Callable, opened: Callable) -> None:
    failures = [Failure(Stage.DECODE, code, f"{code.value}.mp4: because") for code in Code]
    page = opened(made([scored_file(f"{each.code.value}.mp4", [], failure=each) for each in failures]))
    assert f"None of {len(Code)} files could be read" in page.locator(".lead").inner_text()
    coverage = page.locator("#coverage").inner_text()
    for code, (what, todo) in EXPLANATIONS.items():
        assert code.value in coverage
        assert what[1:] in coverage
        assert todo[1:] in coverage
    assert page.locator("#videos, #images, #moments").count() == 0


def test_a_run_without_a_face(made: Callable, scored_file: Callable, opened: Callable) -> None:
    files = [scored_file("v.mp4", [(float(i), []) for i in range(20)]), scored_file("i.jpg", [(None, [])])]
    page = opened(made(files))
    assert page.locator(".big").first.inner_text() == "No face was found"
    assert "Every file was read to its end" in page.locator("#coverage").inner_text()
    assert page.locator("#video-1 .notice").inner_text().startswith("No face was found in this video")
    assert "Face presence" in chart_text(page, "#video-1 .chart")
    for wrong in ("nan", "None", "null", "Undefined"):
        assert wrong not in re.findall(r"\w+", page.locator("main").inner_text())[:400]


def test_a_run_without_a_file(made: Callable, opened: Callable) -> None:
    page = opened(made([]))
    assert page.locator(".lead").inner_text() == "No image or video was found."


def test_one_image(made: Callable, scored_file: Callable, shares_of: Callable, opened: Callable) -> None:
    page = opened(made([scored_file("i.jpg", [(None, [shares_of(happy=0.8, neutral=0.2)])])]))
    assert page.locator("#videos, #moments").count() == 0
    assert "happy" in page.locator("#images-table tbody").inner_text()
    assert "too few to say" in page.locator("#images-table tbody").inner_text()


def test_one_short_video_says_that_it_is(made: Callable, video: Callable, opened: Callable) -> None:
    page = opened(made([video("v.mp4", 4)]))
    assert "too few for intervals" in page.locator("#video-1").inner_text()
    assert "Valence" in chart_text(page, "#video-1 .chart")  # The only one is open already.


def test_on_a_phone_nothing_is_wider_than_the_screen(made: Callable, video: Callable, opened: Callable) -> None:
    page = opened(made([video(f"{'long' * 30}.mp4", 60), video("b.mp4", 60, 0.6, at=[3])]), width=360)
    page.locator("#video-1 > summary").click()
    chart_text(page, "#video-1 .chart")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_what_a_screen_reader_needs(made: Callable, video: Callable, scored_file: Callable, opened: Callable) -> None:
    page = opened(made([video("a.mp4", 60), video("b.mp4", 60, 0.6), scored_file("i.jpg", [(None, [])])]))
    page.locator("#video-1 > summary").click()
    chart_text(page, "#video-1 .chart")
    assert page.locator("main, header, nav[aria-label]").count() == 3
    assert page.locator("h1").count() == 1
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator(".chart:not([aria-label])").count() == 0
    assert page.locator("section:not(.opening):not([aria-labelledby])").count() == 0
    identifiers = page.locator("[id]").evaluate_all("all => all.map(one => one.id).filter(id => !id.startsWith('zr'))")
    assert len(identifiers) == len(set(identifiers))
    named = page.locator("[aria-labelledby]").evaluate_all("all => all.map(one => one.getAttribute('aria-labelledby'))")
    assert set(named) <= set(identifiers)
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => +one.tagName[1])")
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_print_opens_the_videos_and_draws_their_charts(made: Callable, video: Callable, opened: Callable) -> None:
    page = opened(made([video(f"{name}.mp4", 60, at=[5]) for name in "abc"]), dark=True)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.video[open] .chart svg").count() == 3
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.pdf()[:4] == b"%PDF"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.video[open]").count() == 0


def big_run(out: Path, count: int, windows: int) -> Path:
    """Summaries of so many videos with so many windows each, drawn from one small run's."""
    random = np.random.default_rng(0)
    timeline = pd.read_parquet(out / "summary" / "timeline.parquet").iloc[:1]
    by_media = pd.read_parquet(out / "summary" / "by_media.parquet").iloc[:1]
    paths = [f"folder/video {number:04d}.mp4" for number in range(count)]
    many = timeline.loc[timeline.index.repeat(count * windows)].reset_index(drop=True)
    index = np.tile(np.arange(windows), count)
    many = many.assign(
        media_path=np.repeat(paths, windows), window_index=index, start_s=index * 5.0, end_s=index * 5.0 + 5
    )
    for name in [*EMOTIONS, "valence", "engagement"]:
        value = random.random(len(many)) * (60 if name == "engagement" else 0.6)
        many = many.assign(**{name: value, f"{name}_low": value * 0.9, f"{name}_high": value * 1.1})
    each = (
        by_media.loc[by_media.index.repeat(count)].reset_index(drop=True).assign(media_path=paths, frames=windows * 5)
    )
    for name, table in (("timeline", many), ("by_media", each)):
        path = out / "summary" / f"{name}.parquet"
        pq.write_table(pa.Table.from_pandas(table, pq.read_schema(path), preserve_index=False), path)
    report(out)
    return out


@pytest.mark.slow
def test_five_hundred_videos_of_an_hour_stay_small(made: Callable, video: Callable, opened: Callable) -> None:
    out = big_run(made([video("v.mp4", 30)]), count=500, windows=720)
    assert (out / "report.html").stat().st_size < 15_000_000
    page = opened(out)
    assert page.locator("details.video").count() == 500
    assert page.locator("#compare .hint").inner_text().count("480 videos not drawn") == 1
    page.locator("#find").fill("video 0042")
    assert page.locator("#videos-table tbody tr:visible").count() == 1
    page.locator("#videos-table tbody tr:visible a").click()
    assert "Valence" in chart_text(page, "details[open] .chart")
    assert "Each point joins 8 windows" in page.locator("details.video[open]").inner_text()


def test_joined_windows_keep_their_mean(made: Callable, video: Callable) -> None:
    out = big_run(made([video("v.mp4", 30)]), count=2, windows=1000)
    text = (out / "report.html").read_text()
    drawn = json.loads(re.search(r'id="series-1">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    timeline = pd.read_parquet(out / "summary" / "timeline.parquet").iloc[:1000]
    assert drawn["joined"] == 3
    assert drawn["end"][-1] / 100 == timeline["end_s"].iloc[-1]
    weights = [1 + (drawn["joined"] - 1) * (i < len(drawn["start"]) - 1 or len(timeline) % 3 == 0) for i in range(334)]
    happy = np.average(np.array(drawn["values"]["happy"][0]) / drawn["scales"]["happy"], weights=weights)
    assert happy == pytest.approx(timeline["happy"].mean(), abs=1e-3)


def test_the_definitions_and_the_law_are_on_it(made: Callable, video: Callable) -> None:
    text = (made([video("v.mp4", 10)]) / "report.html").read_text()
    plain = re.sub(r"&#39;", "'", text)
    for definition in DEFINITIONS.values():
        assert definition in plain
    assert "Art. 5(1)(f)" in text
    assert "apparent expression" in text


def test_how_it_was_made_stands_on_it(made: Callable, video: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    angry = {"recall": 0.6361, "precision": 0.5, "f1": 0.561, "n": 467}
    (folder / "metrics.json").write_text(json.dumps({"PublicTest": {"fer2013": {"per_class": {"angry": angry}}}}))
    run = {
        "status": "interrupted",
        "model": {"name": "m", "sha256": "0123abcd", "folder": str(folder)},
        "versions": {"numpy": "2.9.9"},
        "configuration": {"sampling": {"fps": 2.5}},
    }
    text = (made([video("v.mp4", 10)], run=run) / "report.html").read_text()
    for piece in ("0123abcd", "2.9.9", "sampling.fps", "63.6%", "0.561", "467", "This run did not finish"):
        assert piece in text


@pytest.mark.parametrize("content", [None, "{", "[]", '{"PublicTest": {}}'])
def test_missing_or_malformed_metrics_leave_a_note(
    made: Callable, video: Callable, tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    text = (made([video("v.mp4", 10)], run={"model": {"folder": str(tmp_path)}}) / "report.html").read_text()
    assert "had no <code>metrics.json</code>" in text
    assert ("metrics.json: cannot be read" in caplog.text) == (content is not None)


def test_the_same_tables_give_the_same_bytes(made: Callable, video: Callable) -> None:
    out = made([video("v.mp4", 30), video("w.mp4", 10)])
    before = hashlib.sha256((out / "report.html").read_bytes()).digest()
    report(out)
    assert hashlib.sha256((out / "report.html").read_bytes()).digest() == before


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no tables"):
        report(tmp_path)
    assert not has_report(tmp_path)


def test_corrected_shares_are_shown_where_the_tables_have_them(made: Callable, video: Callable) -> None:
    out = made([video("v.mp4", 30)])
    assert "Corrected</th>" not in (out / "report.html").read_text()
    path = out / "summary" / "overall.parquet"
    overall = pd.read_parquet(path).assign(**{f"adjusted_share_{name}": 1 / 7 for name in EMOTIONS})
    overall.to_parquet(path)
    report(out)
    assert (out / "report.html").read_text().count("14%</td>") == 7
    assert not math.isnan(overall["adjusted_share_happy"].iloc[0])
