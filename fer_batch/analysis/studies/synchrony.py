"""Whether respondents reacted together: inter-subject correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.analysis.studies.inference import ENOUGH_RESPONDENTS, Floats

#: Random shifts behind a p value: 999, and down to 199 where they would be more than so many shifts of a curve, or of a
#: value; then a study of 300 respondents takes seconds. And the seed.
_MOST_SHIFTS, _LEAST_SHIFTS, _CURVES_SHIFTED, _VALUES_SHIFTED, _SEED = 999, 199, 1e5, 1e8, 20240917
#: Fewer bins than this give no correlation.
_LEAST_BINS = 3
#: A correlation of exactly 1 has no Fisher's z.
_HIGHEST = 1 - 1e-12


@dataclass(frozen=True)
class Synchrony:
    """`isc`: the mean leave-one-out correlation between respondents; its interval; the p value of its being above what
    respondents who react independently give. None where there are too few respondents."""

    respondents: int
    isc: float | None
    isc_low: float | None
    isc_high: float | None
    p: float | None


@dataclass(frozen=True)
class _Series:
    """Centred: (respondents, bins), each minus its own mean, 0 where there is no value; there: 1 where there is."""

    centred: Floats
    there: Floats


def synchrony(values: Floats, confidence: float = 0.95, shifts: int | None = None) -> Synchrony:
    """The inter-subject correlation of a measure: how alike the respondents' curves are.

    Each respondent's curve is correlated with the mean curve of all others, over the bins in which that respondent has
    a value (Nastase et al. 2019). In the mean of the others each counts with the deviation from the own mean, so that
    nobody's gap makes it jump. The interval is a jackknife over respondents on Fisher's z scale. P values come from
    shifting each curve in a circle by a random time of its own, which keeps what it carries over from bin to bin; they
    are one-sided, with a fixed seed.

    Args:
        values: (respondents, bins), NaN where a respondent has no value. Curves without any variation are left out.
        confidence: Of the interval, in 0..1.
        shifts: How many random shifts the p value comes from; None for as many as are fast.
    """
    series = _series(values)
    count = len(series.centred)
    if count < 2:
        return Synchrony(count, None, None, None, None)
    isc, without = _correlations(series)
    if count < ENOUGH_RESPONDENTS:
        return Synchrony(count, isc, None, None, None)
    low, high = _jackknife(isc, without, confidence)
    return Synchrony(count, isc, low, high, _shift_p(series, shifts))


def _series(values: Floats) -> _Series:
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(there, values, 0.0).sum(axis=1, keepdims=True) / there.sum(axis=1, keepdims=True)
    centred = np.where(there, values - means, 0.0)
    kept = (there.sum(axis=1) >= _LEAST_BINS) & (np.abs(centred).max(axis=1, initial=0.0) > 1e-9)
    return _Series(centred[kept], there[kept].astype(float))


def _correlations(series: _Series) -> tuple[float, Floats]:
    """The mean leave-one-out correlation, and the same without each of the respondents."""
    centred, there = series.centred, series.there
    products, total = centred @ centred.T, centred.sum(axis=0)
    own, sums, counts = np.diag(products), products.sum(axis=1), there.sum(axis=1)
    mean, square = there @ total, there @ total**2
    isc = _leave_one_out(own, sums, mean / counts, square, counts)
    # Without k, of the sum of all curves over the bins of i: its mean and its mean square.
    less_mean = (mean[:, None] - there @ centred.T) / counts[:, None]
    less_square = square[:, None] - 2 * (there @ (centred * total).T) + there @ (centred**2).T
    without = _leave_one_out(own[:, None], sums[:, None] - products, less_mean, less_square, counts[:, None])
    np.fill_diagonal(without, np.nan)
    with np.errstate(invalid="ignore"):
        rest = np.nanmean(without, axis=0) if len(own) > 2 else np.full(len(own), np.nan)
    return float(np.mean(isc)), rest


def _leave_one_out(
    own: Floats, sums: Floats, mean: Floats | float, square: Floats | float, counts: Floats | float
) -> Floats:
    """The correlation of each curve with the sum of the others. own: its sum of squares; sums: its product with the sum
    of all; mean, square: of the sum of all, over the bins of the curve: mean and sum of squares."""
    others = square - 2 * sums + own - counts * mean**2
    return np.asarray((sums - own) / np.sqrt(own * np.maximum(others, 1e-30)))


def _jackknife(isc: float, without: Floats, confidence: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    count = len(without)
    z = np.arctanh(np.clip(without, -_HIGHEST, _HIGHEST))
    error = np.sqrt((count - 1) / count * ((z - z.mean()) ** 2).sum())
    middle = np.arctanh(np.clip(isc, -_HIGHEST, _HIGHEST))
    half = stdtrit(count - 1, 0.5 + confidence / 2) * error
    return float(np.tanh(middle - half)), float(np.tanh(middle + half))


def _shift_p(series: _Series, shifts: int | None) -> float:
    """The share of random circular shifts after which respondents are at least as alike, the data among them. To be
    fast it is told by the correlation over all bins; gaps count as the respondent's mean."""
    count, bins = series.centred.shape
    if shifts is None:
        affordable = min(_CURVES_SHIFTED / count, _VALUES_SHIFTED / (count * bins))
        shifts = int(np.clip(affordable, _LEAST_SHIFTS, _MOST_SHIFTS))
    starts = np.random.default_rng(_SEED).integers(0, bins, (shifts, count))
    # Each curve twice in a row: a circular shift is a slice of it.
    twice = np.concatenate([series.centred, series.centred], axis=1).astype(np.float32)
    slices = np.lib.stride_tricks.sliding_window_view(twice, bins, axis=1)
    own, rows = (series.centred**2).sum(axis=1), np.arange(count)

    def alike(begin: NDArray[np.int64]) -> float:
        shifted = slices[rows, begin]
        total = shifted.sum(axis=0)
        sums = np.einsum("ij,j->i", shifted, total).astype(float)  # BLAS would wake its threads each time.
        return float(_leave_one_out(own, sums, 0.0, float(total @ total), 1.0).mean())

    observed = alike(np.zeros(count, np.int64))
    as_high = sum(alike(begin) >= observed for begin in starts)
    return (1 + as_high) / (1 + shifts)
