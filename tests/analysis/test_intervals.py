"""Intervals of means: their coverage by simulation, and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import expit

from fer_batch.analysis.intervals import MIN_SAMPLES, MIN_SAMPLES_OF_WINDOW, Means, series_means
from fer_batch.analysis.pooling import Pool
from tests.helpers.grids import grid

SERIES = 2000


def autoregressive(length: int, correlation: float, seed: int, series: int = SERIES) -> NDArray[np.float64]:
    """Stationary series of mean 0, (series, length)."""
    shocks = np.random.default_rng(seed).normal(size=(series, length))
    shocks[:, 0] /= np.sqrt(1 - correlation**2)
    return np.asarray(lfilter([1], [1, -correlation], shocks))


def means_of(values: NDArray[np.float64], together: int = 1) -> Means:
    """Of each row; `together`: the number of rows that are windows of one video."""
    groups = np.arange(len(values)) // together
    return series_means(values.ravel(), np.arange(len(values)) * values.shape[1], groups)


def pooled(*batches: Means) -> Means:
    pool = Pool()
    for batch in batches:
        pool.add(batch)
    return pool.mean()


def coverage(means: Means, truth: float = 0.0, least: float = -np.inf, most: float = np.inf) -> float:
    low, high = means.bounds(least, most)
    return float(((low <= truth) & (truth <= high)).mean())


def of_means(means: list[float], variances: list[float], degrees: list[float], n: list[int]) -> Means:
    return Means(*(np.array(column, float) for column in (means, variances, degrees, n, n)))


@pytest.mark.parametrize(("length", "correlation"), grid([MIN_SAMPLES, 60, 120, 300, 900], [0.0, 0.3, 0.6, 0.8]))
def test_interval_of_a_single_series_covers_93_to_97_per_cent(length: int, correlation: float) -> None:
    values = autoregressive(length, correlation, seed=length, series=6000)
    assert 0.93 <= coverage(means_of(values)) <= 0.97


@pytest.mark.parametrize("length", grid([60, 120, 300, 900]))
def test_interval_of_a_strongly_correlated_series_covers_93_to_97_per_cent(length: int) -> None:
    assert 0.93 <= coverage(means_of(autoregressive(length, 0.9, seed=length, series=6000))) <= 0.97


@pytest.mark.parametrize("length", [1, 7, MIN_SAMPLES - 1])
def test_series_below_the_minimum_length_has_no_interval(length: int) -> None:
    low, high = means_of(autoregressive(length, 0.5, seed=0)).bounds(-np.inf, np.inf)
    assert np.isnan(low).all()
    assert np.isnan(high).all()


@pytest.mark.parametrize(("length", "correlation"), grid([MIN_SAMPLES_OF_WINDOW, 10, 20, 50], [0.0, 0.3, 0.6, 0.8]))
def test_interval_of_windows_of_one_video_covers_93_to_97_per_cent(length: int, correlation: float) -> None:
    values = autoregressive(length, correlation, seed=length, series=12 * 500)
    assert 0.93 <= coverage(means_of(values, together=12)) <= 0.97


@pytest.mark.parametrize(("length", "correlation"), grid([60, 120, 300, 900], [0.0, 0.3, 0.6]))
def test_interval_of_a_probability_near_zero_covers_93_to_97_per_cent(length: int, correlation: float) -> None:
    normal = autoregressive(length, correlation, seed=length, series=6000) * np.sqrt(1 - correlation**2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    truth = expit(1.5 * nodes - 2) @ weights / weights.sum()
    assert 0.93 <= coverage(means_of(expit(1.5 * normal - 2)), truth, 0.0, 1.0) <= 0.97


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_interval_of_a_series_with_missing_values_covers_93_to_97_per_cent(correlation: float) -> None:
    values = autoregressive(300, correlation, seed=1)
    values[np.random.default_rng(2).random(values.shape) < 0.3] = np.nan
    assert 0.93 <= coverage(means_of(values)) <= 0.97


@pytest.mark.parametrize(
    ("length", "process"), grid([120, 300, 600], [(0.4, 0.3), (0.4, 0.8), (0.8, 0.0), (0.8, 0.6), (0.8, 0.8)])
)
def test_interval_of_a_share_of_frames_covers_93_to_97_per_cent(length: int, process: tuple[float, float]) -> None:
    """A face that comes and goes, by its share of the frames and the correlation from one to the next."""
    share, correlation = process
    rng = np.random.default_rng(length)
    there = rng.random((4000, length)) < share
    for time in range(1, length):
        there[:, time] = np.where(rng.random(4000) < correlation, there[:, time - 1], there[:, time])
    assert 0.93 <= coverage(means_of(there.astype(float)), share, 0.0, 1.0) <= 0.97


def test_interval_of_a_constant_share_narrows_with_more_samples() -> None:
    """The more samples, the surer; and never beyond the range."""
    lows = []
    for length in (MIN_SAMPLES, 60, 1000):
        means = means_of(np.ones((1, length)))
        low, high = means.bounds(0.0, 1.0)
        assert high.tolist() == [1.0]
        lows.append(float(low[0]))
    assert lows == pytest.approx([0.46, 0.63, 0.967], abs=0.01)
    low, high = means_of(np.zeros((1, 60))).bounds(0.0, 1.0)
    assert (low[0], high[0]) == (0.0, pytest.approx(1 - lows[1]))


def test_interval_over_videos_covers_93_to_97_per_cent() -> None:
    """Twelve videos, each about a level of its own: the levels are what they are, only time is drawn."""
    levels = np.linspace(-3, 3, 12)
    hits = []
    for seed in range(500):
        means = means_of(autoregressive(200, 0.6, seed, series=12) + levels[:, None])
        hits.append(coverage(pooled(means)))
    assert 0.93 <= np.mean(hits) <= 0.97


@pytest.mark.parametrize(("length", "correlation"), grid([4, 8, 15, 30], [0.3, 0.6, 0.9]))
def test_interval_over_five_short_clips_covers_93_to_97_per_cent(length: int, correlation: float) -> None:
    """Five clips of few samples: their own variances are unreliable, the variance between them is used."""
    together = [pooled(means_of(autoregressive(length, correlation, seed, series=5))) for seed in range(1500)]
    assert 0.93 <= np.mean([coverage(each) for each in together]) <= 0.97
    widths = [np.diff(each.bounds(-np.inf, np.inf), axis=0) for each in together]
    assert np.median(widths) < 3.0 / np.sqrt(1 - correlation**2)  # Standard deviations of a sample.


def test_interval_over_images_covers_93_to_97_per_cent() -> None:
    draws = np.random.default_rng(0).normal(size=(SERIES, 40))
    hits = [coverage(pooled(means_of(row[:, None]))) for row in draws]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_correlated_samples_give_wider_intervals() -> None:
    loose, tight = (means_of(autoregressive(300, correlation, seed=5)) for correlation in (0.0, 0.8))
    spread = [np.median(np.sqrt(means.variance)) / np.std(means.mean) for means in (loose, tight)]
    assert spread == pytest.approx([1.0, 1.0], abs=0.15)  # The estimate is that of the true spread of the means.
    assert np.median(tight.variance) > 15 * np.median(loose.variance)


def test_series_with_a_gap_have_means_computed_by_hand() -> None:
    """Two series, the second without a value in the middle."""
    means = series_means(np.array([*range(MIN_SAMPLES), 5.0, np.nan, *range(6, 11)]), np.array([0, MIN_SAMPLES]))
    assert means.mean.tolist() == [(MIN_SAMPLES - 1) / 2, 7.5]
    assert means.n.tolist() == [MIN_SAMPLES, 6.0]
    assert np.isnan(means.variance).tolist() == [False, True]  # Six values are too few.


def test_interval_of_a_share_equals_wilson_computed_by_hand() -> None:
    """Half of 100 effective_n throws of a coin, and none of 10; Wilson 1927, with the normal quantile of 95 %."""
    known = of_means([0.5, 0.0], [0.0025, 0.0], [1e9, 1e9], [100, 10])
    low, high = known.bounds(0.0, 1.0)
    assert low.tolist() == pytest.approx([0.4038, 0.0], abs=1e-4)
    assert high.tolist() == pytest.approx([0.5962, 0.2775], abs=1e-4)
    scaled = of_means([50.0, 0.0], [25.0, 0.0], [1e9, 1e9], [100, 10]).bounds(0.0, 100.0)
    np.testing.assert_allclose(scaled, 100 * np.array([low, high]))


def test_a_series_does_not_depend_on_its_neighbours() -> None:
    values = autoregressive(50, 0.5, seed=9, series=3)
    together = means_of(values)
    for row in range(3):
        alone = means_of(values[row : row + 1])
        for name in ("mean", "variance", "degrees", "n", "effective_n"):
            assert getattr(alone, name)[0] == getattr(together, name)[row]  # Whatever part of the tables they are in.


def test_interval_of_a_constant_has_no_width() -> None:
    means = means_of(np.full((1, MIN_SAMPLES), 0.25))
    assert [end.tolist() for end in means.bounds(0, 1)] == [[0.25], [0.25]]


def test_series_of_missing_values_has_no_mean() -> None:
    means = series_means(np.array([np.nan, np.nan, 1.0]), np.array([0, 2]))
    assert np.isnan(means.mean).tolist() == [True, False]
    assert means.n.tolist() == [0.0, 1.0]
    assert np.isnan(means.bounds(0, 1)[0]).all()


def test_no_series_give_no_means() -> None:
    means = series_means(np.empty(0), np.empty(0, np.int64))
    assert len(means.mean) == 0
    everything = pooled(means)
    assert np.isnan(everything.mean[0])
    assert everything.n[0] == 0


def test_interval_stays_in_the_range_of_the_measure() -> None:
    means = means_of(np.array([[0.0, 0.0, 1.0, 0.0, 0.1, 0.0, 0.9, 0.0] * 4]))
    low, high = means.bounds(0.0, 1.0)
    assert 0.0 < low[0] < means.mean[0] < high[0] < 1.0
    assert high[0] - means.mean[0] > means.mean[0] - low[0]  # There is more room above.
    assert means.bounds(0.2375, np.inf)[0][0] == 0.2375  # The mean itself.


def test_pooled_mean_is_weighted_by_the_number_of_values() -> None:
    both = pooled(of_means([1.0, 4.0], [0.04, 0.01], [30.0, 10.0], [30, 10]))
    assert both.mean[0] == pytest.approx(1.75)
    assert both.variance[0] == pytest.approx(0.75**2 * 0.04 + 0.25**2 * 0.01)
    assert both.n[0] == 40


@pytest.mark.parametrize("pictures", [0, 1, 2, 40])
def test_pool_filled_in_batches_equals_the_formulas(pictures: int) -> None:
    """Computed series by series, as described in `Pool`."""
    rng = np.random.default_rng(pictures)
    n = np.concatenate([np.full(pictures, 1), rng.integers(7, 60, 30), rng.integers(60, 90, 30)]).astype(float)
    mean, degrees = rng.uniform(size=len(n)), np.where(n < 60, 3.0, 12.0)
    variance = np.where(n == 1, np.nan, rng.uniform(0.01, 0.02, len(n)))
    series = of_means(mean.tolist(), variance.tolist(), np.where(n == 1, np.nan, degrees).tolist(), n.tolist())
    draws = n <= n[degrees < 4].max()
    total = n.sum()
    deviations = (n * (mean - (n * mean)[draws].sum() / n[draws].sum()))[draws]
    between = (deviations**2).sum() * draws.sum() / (draws.sum() - 1) / total**2
    parts = [between, *((n / total) ** 2 * variance)[~draws]]
    squared_variances = np.square(parts) / [draws.sum() - 1, *degrees[~draws]]

    fields = ("mean", "variance", "degrees", "n", "effective_n")
    batches = [
        Means(*(getattr(series, name)[rows] for name in fields)) for rows in np.array_split(rng.permutation(len(n)), 9)
    ]
    for found in (pooled(*batches), pooled(series)):
        assert found.mean[0] == pytest.approx((n * mean).sum() / total)
        assert found.variance[0] == pytest.approx(sum(parts))
        assert found.degrees[0] == pytest.approx(sum(parts) ** 2 / squared_variances.sum())
        assert found.n[0] == total
        assert found.effective_n[0] == pytest.approx(draws.sum() + series.effective_n[~draws].sum())


def test_interval_over_one_image_and_one_video_is_unknown() -> None:
    both = pooled(of_means([1.0, 4.0], [0.04, np.nan], [30.0, np.nan], [30, 1]))
    assert both.mean[0] == pytest.approx(34 / 31)
    assert np.isnan(both.bounds(-9, 9)[0][0])


def test_interval_over_videos_and_one_image_uses_the_variance_between_files() -> None:
    """The image gets the variance between files; its weight is small."""
    some = pooled(of_means([1.0, 2.0, 3.0, 4.0], [0.04] * 3 + [np.nan], [30.0] * 3 + [np.nan], [30] * 3 + [1]))
    spread = np.var([1.0, 2.0, 3.0, 4.0], ddof=1)
    assert some.variance[0] == pytest.approx((3 * 30**2 * 0.04 + spread) / 91**2)
    assert some.degrees[0] > 10
