"""Inter-subject correlation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fer_batch.analysis.studies.synchrony import synchrony


def curves(respondents: int, bins: int, shared: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((respondents, bins)) + shared * rng.random(bins)


def leave_one_out(table: pd.DataFrame) -> float:
    """A column per respondent."""
    return float(np.mean([table[name].corr(table.drop(columns=name).mean(axis=1)) for name in table]))


def test_isc_is_the_mean_correlation_with_the_mean_of_the_others() -> None:
    values = curves(7, 60, 0.8)
    found = synchrony(values)
    assert found.respondents == 7
    assert found.isc == pytest.approx(leave_one_out(pd.DataFrame(values.T)))


def test_isc_with_gaps_counts_missing_as_the_respondents_own_mean_among_others() -> None:
    values = curves(5, 80, 0.8)
    values[1, 20:35], values[3, :10] = np.nan, np.nan
    table = pd.DataFrame(values.T)
    apart = table - table.mean()
    expected = np.mean([apart[name].corr(apart.drop(columns=name).fillna(0).mean(axis=1)) for name in apart])
    assert synchrony(values).isc == pytest.approx(expected)


def test_interval_is_the_jackknife_over_respondents_on_fishers_scale() -> None:
    values = curves(6, 50, 1.0)
    found = synchrony(values)
    table = pd.DataFrame(values.T)
    z = np.arctanh([leave_one_out(table.drop(columns=name)) for name in table])
    error = np.sqrt(5 / 6 * ((z - z.mean()) ** 2).sum())
    assert found.isc_low == pytest.approx(np.tanh(np.arctanh(found.isc) - 2.5705818 * error))
    assert found.isc_high == pytest.approx(np.tanh(np.arctanh(found.isc) + 2.5705818 * error))


def test_p_is_small_where_respondents_react_together() -> None:
    assert synchrony(curves(5, 120, 1.0)).p == pytest.approx(0.001)


def test_p_rejects_independent_curves_as_often_as_it_says() -> None:
    """Curves that carry over a lot, and so resemble each other by chance."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(200):
        noise = rng.normal(size=(5, 150))
        for time in range(1, 150):
            noise[:, time] += 0.8 * noise[:, time - 1]
        p.append(synchrony(noise, shifts=199).p)
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09


def test_curves_without_variation_are_left_out() -> None:
    values = curves(4, 40, 1.0)
    values[2] = 0.5
    found = synchrony(values)
    assert found.respondents == 3
    assert found.isc == pytest.approx(leave_one_out(pd.DataFrame(values[[0, 1, 3]].T)))


def test_two_respondents_have_a_correlation_and_no_interval() -> None:
    found = synchrony(curves(2, 40, 1.0))
    assert found.isc == pytest.approx(np.corrcoef(curves(2, 40, 1.0))[0, 1])
    assert (found.isc_low, found.isc_high, found.p) == (None, None, None)


@pytest.mark.parametrize("values", [np.empty((0, 10)), curves(1, 10, 1.0), curves(4, 2, 1.0), np.full((3, 9), np.nan)])
def test_too_little_to_correlate_gives_nothing(values: np.ndarray) -> None:
    assert synchrony(values).isc is None
