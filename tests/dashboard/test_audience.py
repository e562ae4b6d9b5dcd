"""The audience page of the dashboard: its queries against pandas, and its filters."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_batch.dashboard.audience_queries import MAX_COLUMNS, StudyTables
from tests.helpers.study_folder import make_study

PAGE = Path(__file__).resolve().parents[2] / "fer_batch" / "dashboard" / "page.py"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, scored_file: Callable) -> Path:
    return make_study(tmp_path_factory.mktemp("a [study]'s results"), scored_file, 8, ("A", "B"))


@pytest.fixture(scope="module")
def tables(out: Path) -> StudyTables:
    return StudyTables(out)


def test_choices_are_those_of_the_study(tables: StudyTables) -> None:
    assert tables.stimuli() == ["film"]
    assert tables.compared_factors("film") == ["group"]
    assert list(tables.segments("film")["segment"]) == ["baseline", "opening", "second half", "the joke", "ending"]
    assert tables.facts.factors == ("group",)
    assert tables.facts.confidence == 0.95
    assert tables.facts.measures[:2] == ("valence", "expressiveness")


def test_segments_in_sight_are_shaded_and_named() -> None:
    altair = pytest.importorskip("altair", reason="the extra dashboard is not installed")
    audience = pytest.importorskip("fer_batch.dashboard.audience", reason="the extra dashboard is not installed")
    spans = [("before", 0.0, 10.0), ("first", 5.0, 15.0), ("last", 18.0, 25.0), ("after", 20.0, 30.0)]
    segments = pd.DataFrame(spans, columns=["segment", "start_s", "end_s"])
    for layer in audience._segment_layers(segments, (10.0, 20.0), altair.Scale()):
        assert layer.data.to_numpy().tolist() == [["first", 10.0, 15.0], ["last", 18.0, 20.0]]


def test_curve_equals_the_table(out: Path, tables: StudyTables) -> None:
    table = pd.read_parquet(out / "study" / "curve.parquet")
    found = tables.curve("film", "group", "happy")
    assert sorted(found["line"].unique()) == ["A", "B"]
    mine = table[table["value"] == "B"]
    np.testing.assert_array_equal(found[found["line"] == "B"]["band_low"], mine["happy_band_low"])
    assert tables.curve("film", None, "happy")["line"].unique().tolist() == ["all respondents"]


def test_contrasts_equal_the_table(out: Path, tables: StudyTables) -> None:
    table = pd.read_parquet(out / "study" / "contrasts.parquet")
    mine = table[table["measure"].isin(["happy", "happy_change"]) & table["difference"].notna()]
    found = tables.contrasts("film", "group", "happy")
    assert len(found) == len(mine)
    joke = found[(found["segment"] == "the joke") & (found["measure"] == "happy")].iloc[0]
    expected = mine[(mine["segment"] == "the joke") & (mine["measure"] == "happy")].iloc[0]
    assert (joke["difference"], joke["p_adjusted"]) == (expected["difference"], expected["p_adjusted"])


def test_strips_are_the_means_of_their_bins(out: Path, scored_file: Callable, tmp_path: Path) -> None:
    long = StudyTables(make_study(tmp_path, scored_file, 3, seconds=2 * MAX_COLUMNS))
    found = long.strips("film", "happy")
    table = pd.read_parquet(tmp_path / "study" / "respondent_curves.parquet")
    mine = table[table["respondent"] == "R001"]
    assert (found["until"] - found["second"]).unique().tolist() == [2.0]
    np.testing.assert_allclose(
        found[found["respondent"] == "R001"]["value"], mine["happy"].to_numpy().reshape(-1, 2).mean(axis=1), rtol=1e-6
    )


def test_page_opens_with_the_audience_and_follows_its_filters(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    testing = pytest.importorskip("streamlit.testing.v1", reason="the extra dashboard is not installed")
    monkeypatch.setattr(sys, "argv", ["page.py", str(out)])
    page = testing.AppTest.from_file(str(PAGE), default_timeout=300).run()
    assert not page.exception
    assert page.metric[0].value == "8 of 8"
    headings = [heading.value for heading in page.subheader]
    assert headings == ["Over the stimulus", "Respondent by respondent", "Moments", "By segment", "Respondents"]
    for name, choice in (("Factor", "group"), ("Measure", "happy"), ("Segment", "the joke")):
        next(box for box in page.selectbox if box.label == name).set_value(choice)
    page.run()
    assert not page.exception
    assert "Groups compared" in [heading.value for heading in page.subheader]
    assert page.dataframe[1].value["segment"].unique().tolist() == ["the joke"]
    page.radio[0].set_value("Whole run").run()
    assert not page.exception
    assert "Strongest moments" in [heading.value for heading in page.subheader]


def test_page_of_a_study_without_a_face_says_so(
    tmp_path: Path, scored_file: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    testing = pytest.importorskip("streamlit.testing.v1", reason="the extra dashboard is not installed")
    monkeypatch.setattr(sys, "argv", ["page.py", str(make_study(tmp_path, scored_file, 4, ("A", "B"), faces=False))])
    page = testing.AppTest.from_file(str(PAGE), default_timeout=300).run()
    next(box for box in page.selectbox if box.label == "Factor").set_value("group").run()
    assert not page.exception
    assert "No face was found" in page.info[0].value


@pytest.mark.parametrize(
    ("spans", "rows"),
    [
        ([], []),
        ([(0, 10), (10, 30), (30, 60)], [0, 0, 0]),
        ([(30, 60), (36, 42), (45, 60)], [0, 1, 1]),
        ([(0, 60), (0, 30), (10, 20), (30, 60)], [0, 1, 2, 1]),
    ],
)
def test_names_of_overlapping_segments_lie_below_each_other(spans: list[tuple[float, float]], rows: list[int]) -> None:
    pytest.importorskip("streamlit", reason="the extra dashboard is not installed")
    from fer_batch.dashboard.audience import _rows_of_names

    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    assert _rows_of_names(starts, ends) == rows
