"""Intervals over respondents and simultaneous bands."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fer_batch.analysis.studies.inference import curve_intervals, mean_interval, simultaneous_band

LIMITS = (0.0, 1.0)


def skewed(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Values between 0 and 1 with a mean of a fifth, most of them near 0."""
    return rng.beta(0.8, 3.2, shape)


def curves(rng: np.random.Generator, respondents: int, bins: int = 120) -> tuple[np.ndarray, float]:
    """Curves that carry over from bin to bin, respondents differing in level, and their true mean."""
    noise = rng.normal(size=(respondents, bins))
    for time in range(1, bins):
        noise[:, time] = 0.8 * noise[:, time - 1] + 0.6 * noise[:, time]
    logits = -2 + rng.normal(size=(respondents, 1)) + noise
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    truth = 1 / (1 + np.exp(2 - np.sqrt(2) * nodes)) @ weights / weights.sum()
    return 1 / (1 + np.exp(-logits)), float(truth)


def test_interval_of_symmetric_values_in_the_middle_is_nearly_the_t_interval() -> None:
    half = np.random.default_rng(0).uniform(0, 0.02, (20, 1))
    values = np.concatenate([0.5 - half, 0.5 + half])
    found = mean_interval(values, LIMITS)
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values[:, 0]))
    assert found.mean[0] == pytest.approx(0.5)
    assert (found.low[0], found.high[0]) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_interval_leaves_out_missing_values() -> None:
    values = skewed(np.random.default_rng(0), 8, 1)
    gaps = np.insert(values, [2, 5], np.nan, axis=0)
    full, found = mean_interval(values, LIMITS), mean_interval(gaps, LIMITS)
    assert found.respondents[0] == 8
    assert [found.mean[0], found.low[0], found.high[0]] == pytest.approx([full.mean[0], full.low[0], full.high[0]])


@pytest.mark.parametrize("limits", [(0.0, 1.0), (-1.0, 1.0), (0.0, 100.0)])
def test_interval_stays_within_the_range_and_holds_the_mean(limits: tuple[float, float]) -> None:
    shares = np.random.default_rng(1).beta(0.2, 2, (4, 500))
    found = mean_interval(limits[0] + (limits[1] - limits[0]) * shares, limits)
    assert (limits[0] <= found.low).all()
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()
    assert (found.high <= limits[1]).all()


def test_interval_of_two_respondents_is_unknown() -> None:
    found = mean_interval(np.array([[0.2], [0.4]]), LIMITS)
    assert found.mean[0] == pytest.approx(0.3)
    assert np.isnan([found.low[0], found.high[0]]).all()


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_interval_is_wide_where_all_are_at_one_end(end: float) -> None:
    """Ten who all look may be ten of a crowd in which not all do."""
    found = mean_interval(np.full((10, 1), end), LIMITS)
    assert found.mean[0] == end
    assert found.high[0] - found.low[0] == pytest.approx(1 / (1 + 10 / stats.t.ppf(0.975, 9) ** 2))


@pytest.mark.parametrize("respondents", [5, 10, 30])
def test_intervals_hold_the_mean_of_skewed_values(respondents: int) -> None:
    values = skewed(np.random.default_rng(respondents), respondents, 4000)
    found = mean_interval(values, LIMITS)
    assert 0.93 <= np.mean((found.low <= 0.2) & (found.high >= 0.2)) <= 0.97


@pytest.mark.parametrize("respondents", [10, 30])
def test_bands_hold_the_whole_curve(respondents: int) -> None:
    rng = np.random.default_rng(respondents)
    held = []
    for _ in range(150):
        values, truth = curves(rng, respondents)
        band = simultaneous_band(values, LIMITS)
        held.append(bool(((band.low <= truth) & (truth <= band.high)).all()))
    assert 0.91 <= np.mean(held) <= 1.0


def test_band_holds_the_pointwise_interval_and_is_the_same_every_time() -> None:
    values, _ = curves(np.random.default_rng(3), 6)
    values[:, 40:44] = np.random.default_rng(4).random((6, 4))  # Much wider than the rest.
    band, again, pointwise = (make(values, LIMITS) for make in (simultaneous_band, simultaneous_band, mean_interval))
    assert (band.low <= pointwise.low).all()
    assert (band.high >= pointwise.high).all()
    assert np.array_equal(band.low, again.low)


def test_band_of_bins_with_too_few_respondents_is_unknown() -> None:
    values, _ = curves(np.random.default_rng(5), 6)
    values[2:, 100:] = np.nan
    band = simultaneous_band(values, LIMITS)
    assert np.isnan(band.low[100:]).all()
    assert not np.isnan(band.low[:100]).any()


def test_band_of_a_wider_confidence_is_wider() -> None:
    values, _ = curves(np.random.default_rng(6), 12)
    narrow, wide = (simultaneous_band(values, LIMITS, confidence) for confidence in (0.8, 0.99))
    assert (wide.high - wide.low > narrow.high - narrow.low).all()


def test_intervals_of_a_curve_are_those_of_either_function() -> None:
    values, _ = curves(np.random.default_rng(0), 6)
    values[0, :50] = np.nan
    both = curve_intervals(values, LIMITS, 0.9)
    for found, alone in zip(both, (mean_interval, simultaneous_band), strict=True):
        expected = alone(values, LIMITS, 0.9)
        assert all(np.array_equal(getattr(found, name), of) for name, of in vars(expected).items())
