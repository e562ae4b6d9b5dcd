"""Series of charts: joined windows of long videos, moving means over the frames of short ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fer_batch.analysis.intervals import series_means
from fer_batch.report.series import HALF_WIDTH, as_json, from_frames, from_windows


def windows(values: list[float], frames: list[int], low: float = 0.1, high: float = 0.1) -> pd.DataFrame:
    count = len(values)
    table = pd.DataFrame({"window_index": range(count), "start_s": np.arange(count) * 10.0, "frames": 10})
    mean = np.array(values)
    bounds = {"happy": mean, "happy_low": mean - low, "happy_high": mean + high}
    return table.assign(end_s=table["start_s"] + 10, frames_with_faces=frames, **bounds)


def test_few_windows_are_kept_as_they_are() -> None:
    series = from_windows(windows([0.2, 0.4], [5, 5]), ["happy"], max_points=2)
    assert series.joined == 1
    assert series.start.tolist() == [0, 10]
    assert [column.tolist() for column in series.values["happy"]] == [
        pytest.approx([0.2, 0.4]),
        pytest.approx([0.1, 0.3]),
        pytest.approx([0.3, 0.5]),
    ]


def test_joined_windows_are_weighted_by_their_frames() -> None:
    series = from_windows(windows([0.2, 0.5, np.nan, np.nan, 0.4], [1, 2, 0, 0, 3]), ["happy"], max_points=3)
    assert series.joined == 2
    assert (series.start.tolist(), series.end.tolist()) == ([0, 20, 40], [20, 40, 50])
    mean, low, high = series.values["happy"]
    np.testing.assert_allclose(mean, [0.4, np.nan, 0.4])
    np.testing.assert_allclose(low, mean - 0.1)
    np.testing.assert_allclose(high, mean + 0.1)


def test_a_missing_window_leaves_a_gap() -> None:
    table = windows([0.1, 0.2, 0.3, 0.4], [5] * 4).drop(index=[1])
    series = from_windows(table, ["happy"], max_points=10)
    assert series.start.tolist() == [0, 20, 30]


def test_wide_interval_is_not_drawn() -> None:
    series = from_windows(windows([0.5, 0.5], [5, 5], low=0.3, high=0.3), ["happy"], max_points=5)
    assert np.isnan(series.values["happy"][1]).all()
    assert not np.isnan(series.values["happy"][0]).any()


def frames(count: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    faces = np.ones(count, int)
    return pd.DataFrame(
        {"timestamp_s": np.arange(count) / 5, "face_count": faces, "happy": 0.5 + random.random(count) * 0.02}
    )


def test_a_short_video_is_a_moving_mean_with_its_interval() -> None:
    table = frames(60)
    table.loc[10, ["face_count", "happy"]] = [0, np.nan]
    series = from_frames(table, ["happy", "face_presence", "faces_per_frame"])
    mean, low, high = series.values["happy"]
    assert mean[5] == pytest.approx(table["happy"][5 - HALF_WIDTH : 5 + HALF_WIDTH + 1].mean())
    assert low[5] < mean[5] < high[5]
    # Much wider than that of all frames; not wider than as if they were not alike at all.
    whole = series_means(table["happy"].to_numpy(), np.array([0]))
    (least,), (most,) = whole.bounds(0, 1)
    assert 2 * (most - least) < high[5] - low[5] < 6 * (most - least)
    assert np.isnan(mean[10])  # Where no face was seen the line is broken.
    assert series.values["face_presence"][0].tolist() == [1.0] * 10 + [0.0] + [1.0] * 49


def test_few_frames_have_a_moving_mean_and_no_interval() -> None:
    """Their autocorrelation cannot be estimated, and each is in seven of the means."""
    mean, low, high = from_frames(frames(20), ["happy"]).values["happy"]
    assert mean[0] == pytest.approx(frames(20)["happy"][: HALF_WIDTH + 1].mean())
    assert not np.isnan(mean).any()
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_fewer_frames_than_the_moving_mean_are_not_smoothed() -> None:
    table = frames(2 * HALF_WIDTH)
    series = from_frames(table, ["happy"])
    assert series.frames == 1
    assert series.values["happy"][0].tolist() == table["happy"].tolist()
    assert np.isnan(series.values["happy"][1]).all()


def test_json_has_integers_and_null() -> None:
    drawn = as_json(from_windows(windows([0.2345, np.nan], [5, 0]), ["happy"], max_points=5), float("nan"))
    assert drawn["values"]["happy"] == [[234, None], [134, None], [334, None]]
    assert (drawn["start"], drawn["duration"], drawn["scales"]) == ([0, 1000], None, {"happy": 1000})
