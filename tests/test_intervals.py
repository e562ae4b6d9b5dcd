"""Intervals of means: their coverage by simulation, and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_batch.intervals import LEAST, Means, pooled, series_means

SERIES = 2000


def autoregressive(length: int, correlation: float, seed: int, series: int = SERIES) -> NDArray[np.float64]:
    """Stationary series of mean 0, (series, length)."""
    shocks = np.random.default_rng(seed).normal(size=(series, length))
    values = np.empty_like(shocks)
    values[:, 0] = shocks[:, 0] / np.sqrt(1 - correlation**2)
    for time in range(1, length):
        values[:, time] = correlation * values[:, time - 1] + shocks[:, time]
    return values


def means_of(values: NDArray[np.float64]) -> Means:
    return series_means(values.ravel(), np.arange(len(values)) * values.shape[1])


def coverage(means: Means, truth: float = 0.0) -> float:
    low, high = means.bounds(-np.inf, np.inf)
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("length", [120, 300, 900])
def test_95_per_cent_are_93_to_97(length: int, correlation: float) -> None:
    assert 0.93 <= coverage(means_of(autoregressive(length, correlation, seed=length))) <= 0.97


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_samples_without_a_value_do_not_spoil_the_coverage(correlation: float) -> None:
    values = autoregressive(300, correlation, seed=1)
    values[np.random.default_rng(2).random(values.shape) < 0.3] = np.nan
    assert 0.93 <= coverage(means_of(values)) <= 0.97


def test_a_share_of_frames_is_covered_too() -> None:
    """A face that comes and goes: present or not, and for a while."""
    rng = np.random.default_rng(3)
    there = rng.random((SERIES, 600)) < 0.4
    for time in range(1, 600):
        there[:, time] = np.where(rng.random(SERIES) < 0.7, there[:, time - 1], there[:, time])
    assert 0.93 <= coverage(means_of(there.astype(float)), truth=0.4) <= 0.97


def test_the_mean_over_videos_is_covered() -> None:
    """Twelve videos, each about a level of its own: the levels are what they are, only time is drawn."""
    levels = np.linspace(-3, 3, 12)
    hits = []
    for seed in range(400):
        means = means_of(autoregressive(200, 0.6, seed, series=12) + levels[:, None])
        hits.append(coverage(pooled(means, np.zeros(12, bool))))
    assert 0.92 <= np.mean(hits) <= 0.98


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("length", [4, 8, 15])
def test_the_mean_over_a_handful_of_short_clips_is_covered_and_told(length: int, correlation: float) -> None:
    """Five clips of a few samples: too short to tell their own variance, but their spread does."""
    together = [pooled(means_of(autoregressive(length, correlation, seed, series=5))) for seed in range(1500)]
    assert 0.93 <= np.mean([coverage(each) for each in together]) <= 0.97
    widths = [np.diff(each.bounds(-np.inf, np.inf), axis=0) for each in together]
    assert np.median(widths) < 3.0 / np.sqrt(1 - correlation**2)  # Standard deviations of a sample.


def test_the_mean_over_pictures_is_covered() -> None:
    draws = np.random.default_rng(0).normal(size=(SERIES, 40))
    hits = [coverage(pooled(means_of(row[:, None]), np.ones(40, bool))) for row in draws]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_correlated_samples_give_wider_intervals() -> None:
    loose, tight = (means_of(autoregressive(300, correlation, seed=5)) for correlation in (0.0, 0.8))
    spread = [np.median(np.sqrt(means.variance)) / np.std(means.mean) for means in (loose, tight)]
    assert spread == pytest.approx([1.0, 1.0], abs=0.15)  # The estimate is that of the true spread of the means.
    assert np.median(tight.variance) > 15 * np.median(loose.variance)


def test_values_by_hand() -> None:
    """Two series, the second without a value in the middle."""
    means = series_means(np.array([*range(1, 8), 5.0, np.nan, *range(6, 11)]), np.array([0, 7]))
    assert means.mean.tolist() == [4.0, 7.5]
    assert means.n.tolist() == [7.0, 6.0]
    assert np.isnan(means.variance).tolist() == [False, True]  # Six values are too few.


def test_a_series_does_not_depend_on_its_neighbours() -> None:
    values = autoregressive(50, 0.5, seed=9, series=3)
    together = means_of(values)
    for row in range(3):
        alone = means_of(values[row : row + 1])
        for name in ("mean", "variance", "freedom", "n"):
            assert getattr(alone, name)[0] == getattr(together, name)[row]  # Whatever part of the tables they are in.


def test_a_constant_has_no_width() -> None:
    means = means_of(np.full((1, 20), 0.25))
    assert [end.tolist() for end in means.bounds(0, 1)] == [[0.25], [0.25]]


def test_nothing_but_missing_values() -> None:
    means = series_means(np.array([np.nan, np.nan, 1.0]), np.array([0, 2]))
    assert np.isnan(means.mean).tolist() == [True, False]
    assert means.n.tolist() == [0.0, 1.0]
    assert np.isnan(means.bounds(0, 1)[0]).all()


def test_no_series_at_all() -> None:
    means = series_means(np.empty(0), np.empty(0, np.int64))
    assert len(means.mean) == 0
    everything = pooled(means, np.empty(0, bool))
    assert np.isnan(everything.mean[0])
    assert everything.n[0] == 0


def test_bounds_stay_in_the_range() -> None:
    means = means_of(np.array([[0.0, 0.0, 1.0, 0.0, 0.1, 0.0, 0.9, 0.0]]))
    low, high = means.bounds(0.0, 1.0)
    assert low[0] == 0.0
    assert means.mean[0] < high[0] <= 1.0
    assert means.bounds(-9.0, 9.0)[0][0] < 0.0


def test_pooling_weighs_by_the_number_of_values() -> None:
    means = Means(np.array([1.0, 4.0]), np.array([0.04, 0.01]), np.array([30.0, 10.0]), np.array([30.0, 10.0]))
    both = pooled(means, np.zeros(2, bool))
    assert both.mean[0] == pytest.approx(1.75)
    assert both.variance[0] == pytest.approx(0.75**2 * 0.04 + 0.25**2 * 0.01)
    assert both.n[0] == 40


def test_one_picture_among_videos_makes_the_interval_unknown() -> None:
    means = Means(np.array([1.0, 4.0]), np.array([0.04, np.nan]), np.array([30.0, np.nan]), np.array([30.0, 1.0]))
    both = pooled(means, means.n < LEAST)
    assert both.mean[0] == pytest.approx(34 / 31)
    assert np.isnan(both.bounds(-9, 9)[0][0])
