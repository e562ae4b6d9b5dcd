"""What the page asks of the tables, against a folder of which everything is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_batch.dashboard.queries import Selection, Tables
from fer_batch.emotions import EMOTIONS
from tests.helpers.run_folder import HARMFUL

ALL = ("a/smiling.mp4", HARMFUL, "picture.png")


@pytest.fixture(scope="module")
def tables(run_folder: Path) -> Tables:
    return Tables(run_folder, EMOTIONS)


def test_files(tables: Tables) -> None:
    files = tables.files()
    assert files["media_path"].tolist() == list(ALL)
    assert files["folder"].tolist() == ["a", "b", "."]
    assert files["seconds"].tolist() == [89.0, 29.0, 0.0]


def test_glance_by_file_and_time(tables: Tables) -> None:
    everything = tables.glance(Selection(ALL, 0.0, 89.0))
    assert (everything["files"], everything["frames"], everything["faces"]) == (3, 121, 121)
    part = tables.glance(Selection([HARMFUL], 10.0, 12.0))  # Frames with 1, 2 and 0 faces.
    assert (part["frames"], part["faces"], part["face_presence"]) == (3, 3, pytest.approx(2 / 3))
    assert part["sad"] == pytest.approx(0.7)
    nothing = tables.glance(Selection([], 0.0, 1.0))
    assert (nothing["files"], nothing["faces"]) == (0, 0)


def test_the_course_over_time(tables: Tables) -> None:
    course = tables.over_time(Selection([HARMFUL], 0.0, 29.0))
    assert course["second"].tolist() == list(range(30))
    assert course["faces"].tolist() == [0, 1, 2] * 10
    assert len(tables.over_time(Selection(ALL, 0.0, 89.0))) == 90


def test_shares_of_a_file_sum_to_one(tables: Tables) -> None:
    shares = tables.shares(Selection(ALL, 0.0, 89.0))
    assert shares.groupby("media_path")["share"].sum().tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert set(shares.loc[shares["media_path"] == HARMFUL, "emotion"]) == {"sad"}


def test_files_moments_and_tracks(tables: Tables) -> None:
    chosen = Selection(["a/smiling.mp4"], 20.0, 25.0)
    assert tables.by_file(chosen)["frames"].tolist() == [6]
    moments = tables.moments(chosen, ["happy"])
    assert set(moments["measure"]) == {"happy"}
    assert moments["start_s"].tolist() == [20.0]
    assert tables.moments(Selection([HARMFUL], 0.0, 29.0), ["sad"])["value"].tolist() == pytest.approx([0.7] * 3)
    # None of its windows has an interval, but the others have nothing of it.
    assert tables.tracks(chosen)["track_id"].tolist() == [0]


def test_failures(tables: Tables) -> None:
    assert tables.failures()["media_path"].tolist() == ["bad.mp4"]
