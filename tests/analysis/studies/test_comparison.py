"""Contrasts against SciPy, and Holm's adjustment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from fer_batch.analysis.studies.comparison import Contrast, holm, paired_contrast, welch_contrast


def test_paired_contrast_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a = rng.random((12, 5))
    b = 0.5 * a + 0.5 * rng.random((12, 5))
    found = paired_contrast(a, b, 0.9)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.9)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx((a - b).mean(axis=0))
    assert found.difference_low == pytest.approx(interval.low)
    assert found.difference_high == pytest.approx(interval.high)


def test_paired_contrast_uses_only_respondents_with_both_values() -> None:
    a, b = np.random.default_rng(1).random((2, 9, 1))
    a[2], b[5] = np.nan, np.nan
    kept = [0, 1, 3, 4, 6, 7, 8]
    found = paired_contrast(a, b)
    assert found.respondents_a[0] == found.respondents_b[0] == 7
    assert found.p[0] == pytest.approx(stats.ttest_rel(a[kept, 0], b[kept, 0]).pvalue)


def test_welch_contrast_is_welchs_t_test() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random((7, 4)), 0.3 + 0.2 * rng.random((15, 4))
    a[3, 1] = np.nan
    found = welch_contrast(a, b)
    expected = stats.ttest_ind(a, b, equal_var=False, nan_policy="omit")
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(np.asarray(expected.pvalue, float))
    assert found.difference_low == pytest.approx(np.asarray(interval.low, float))
    assert found.difference_high == pytest.approx(np.asarray(interval.high, float))
    assert found.respondents_a.tolist() == [7, 6, 7, 7]


def test_hedges_g_of_groups_is_the_corrected_standardized_difference() -> None:
    a, b = np.array([[0.1], [0.4], [0.35], [0.5]]), np.array([[0.2], [0.1], [0.15], [0.05], [0.3]])
    pooled = np.sqrt((3 * a.var(ddof=1) + 4 * b.var(ddof=1)) / 7)
    d = (a.mean() - b.mean()) / pooled
    correction = 1 - 3 / (4 * 7 - 1)  # The usual approximation of the gamma functions.
    found = welch_contrast(a, b)
    assert found.hedges_g[0] == pytest.approx(correction * d, rel=2e-3)
    error = correction * np.sqrt(9 / 20 + d**2 / 18)
    assert found.hedges_g_high[0] - found.hedges_g[0] == pytest.approx(1.96 * error, rel=2e-3)


def test_hedges_g_of_pairs_is_in_units_of_the_values_not_of_the_differences() -> None:
    b = np.array([[0.1], [0.4], [0.35], [0.5], [0.8]])
    a = b + 0.1 + [[0.01], [-0.01], [0], [0.01], [-0.01]]
    spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    found = paired_contrast(a, b)
    assert found.hedges_g[0] == pytest.approx((1 - 3 / (4 * 4 - 1)) * 0.1 / spread, rel=5e-3)
    assert found.hedges_g_low[0] > 0


@pytest.mark.parametrize("contrast", [paired_contrast, welch_contrast])
def test_contrast_of_two_respondents_has_a_difference_and_no_test(contrast: Callable[..., Contrast]) -> None:
    found = contrast(np.array([[0.4], [0.6]]), np.array([[0.1], [0.2]]))
    assert found.difference[0] == pytest.approx(0.35)
    rest = (found.difference_low, found.difference_high, found.hedges_g, found.hedges_g_low, found.p)
    assert all(np.isnan(values[0]) for values in rest)


def test_contrast_of_values_without_spread_has_no_test() -> None:
    found = welch_contrast(np.full((4, 1), 0.5), np.full((4, 1), 0.5))
    assert found.difference[0] == 0
    assert np.isnan(found.p[0])


def test_holm_gives_what_statsmodels_gives() -> None:
    """As `multipletests(p, method="holm")` of statsmodels 0.14 does; a p value that is unknown is no test."""
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.005, 0.04, 0.5])
    expected = [0.05, 0.12, np.nan, 0.12, 0.03, 0.12, 0.5]
    assert holm(p) == pytest.approx(np.array(expected), nan_ok=True)
