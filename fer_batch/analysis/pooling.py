"""The mean over many series whose means are known, with the variance and degrees of freedom for its interval."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fer_batch.analysis.intervals import Floats, Means

#: Minimum number of series to estimate the variance between them.
_MIN_DRAWS = 3
#: Minimum degrees of freedom to use a series' own variance instead of the variance between series.
_MIN_DEGREES = 4.0
#: Kinds of series: variance with enough degrees of freedom; with too few; none.
_RELIABLE, _UNRELIABLE, _NO_VARIANCE = range(3)


class Pool:
    """The mean over all values of several series, which may be added in batches.

    A series without a variance (an image, a clip of fewer than `MIN_SAMPLES` values) or with an unreliable one is a
    draw, and so are all series that are not longer: their variance is the variance between them. If there are fewer
    than three, only those without a variance are draws, and their variance is the variance between all series. The
    other series are strata with their own variance. Degrees of freedom after Welch and Satterthwaite.

    Which series are draws depends on all of them. Therefore sums are kept by the length of the series: a million images
    need no more memory than one.
    """

    def __init__(self) -> None:
        self._sums = _LengthSums(*np.empty((len(fields(_LengthSums)), 0)))

    def add(self, series: Means) -> None:
        """Add some series."""
        self._sums = _merged(self._sums, _length_sums(series))

    def mean(self) -> Means:
        """The mean of all, as a single row."""
        sums = self._sums
        weight, total = sums.n * sums.count, float((sums.n * sums.count).sum())
        if total == 0:
            return Means(*(np.array([value]) for value in (np.nan, np.nan, np.nan, 0.0, 0.0)))
        mean = (weight * sums.mean).sum() / total
        unreliable = sums.kind != _RELIABLE
        many = sums.count[unreliable].sum() >= _MIN_DRAWS
        # By length alone: among series of one length, the reliable ones are those whose variance is too low by chance.
        draws = sums.n <= sums.n[unreliable].max() if many else sums.kind == _NO_VARIANCE
        strata, share = ~draws, sums.n / total
        variances = [float((share**2 * sums.variance)[strata].sum())]
        squared_variances = [float((share**4 * sums.squared_variance)[strata].sum())]
        all_degrees = list(sums.degrees[strata])
        if draws.any():
            variance, degrees = _variance_between(sums, draws)
            variances.append(variance / total**2)
            squared_variances.append(variances[-1] ** 2 / degrees)
            all_degrees.append(degrees)
        variance = sum(variances)
        degrees = variance**2 / sum(squared_variances) if variance > 0 else np.max(all_degrees)
        effective_n = sums.count[draws].sum() + sums.effective_n[strata].sum()
        return Means(*(np.array([value]) for value in (mean, variance, degrees, total, effective_n)))


@dataclass(frozen=True)
class _LengthSums:
    """Sums over the series of one length and kind, each field float64 of shape (lengths and kinds,).

    Attributes:
        n: Values in each series.
        kind: `_RELIABLE`, `_UNRELIABLE` or `_NO_VARIANCE`.
        count: Number of series.
        mean: Mean of their means.
        spread: Sum of squared deviations of their means from `mean`.
        variance: Sum of their variances.
        squared_variance: Sum of squared variances, each divided by its degrees of freedom.
        degrees: Largest degrees of freedom.
        effective_n: Sum of their effective numbers of values.
    """

    n: Floats
    kind: Floats
    count: Floats
    mean: Floats
    spread: Floats
    variance: Floats
    squared_variance: Floats
    degrees: Floats
    effective_n: Floats


def _length_sums(series: Means) -> _LengthSums:
    """A row for each series that has values."""
    present = series.n > 0
    n, mean, effective_n = series.n[present], series.mean[present], series.effective_n[present]
    variance, degrees = np.nan_to_num(series.variance[present]), np.nan_to_num(series.degrees[present], nan=1.0)
    without = np.isnan(series.variance[present])
    kind = np.where(without, _NO_VARIANCE, np.where(degrees >= _MIN_DEGREES, _RELIABLE, _UNRELIABLE)).astype(float)
    return _LengthSums(
        n, kind, np.ones(len(n)), mean, np.zeros(len(n)), variance, variance**2 / degrees, degrees, effective_n
    )


def _merged(first: _LengthSums, second: _LengthSums) -> _LengthSums:
    """The sum of both, one row for each length and kind."""
    names = [field.name for field in fields(_LengthSums)]
    rows = _LengthSums(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))
    keys, row = np.unique(np.stack([rows.n, rows.kind]), axis=1, return_inverse=True)
    row = row.ravel()  # NumPy 2.0.0 gives it a second axis.

    def add_up(values: Floats) -> Floats:
        return np.bincount(row, values, minlength=keys.shape[1]).astype(np.float64)

    count = add_up(rows.count)
    mean = add_up(rows.count * rows.mean) / count
    # After Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance": squares of differences from the
    # mean, not a difference of large squares.
    spread = add_up(rows.spread + rows.count * (rows.mean - mean[row]) ** 2)
    degrees = np.zeros(keys.shape[1])
    np.maximum.at(degrees, row, rows.degrees)
    variance, squared_variance = add_up(rows.variance), add_up(rows.squared_variance)
    effective_n = add_up(rows.effective_n)
    return _LengthSums(keys[0], keys[1], count, mean, spread, variance, squared_variance, degrees, effective_n)


def _variance_between(sums: _LengthSums, draws: NDArray[np.bool_]) -> tuple[float, float]:
    """The variance of the weighted sum of the draws, and its degrees of freedom."""

    def about(centre: float, weight: Floats) -> Floats:
        return weight**2 * (sums.spread + sums.count * (sums.mean - centre) ** 2)

    if (count := float(sums.count[draws].sum())) >= _MIN_DRAWS:
        weight = (sums.n * sums.count)[draws]
        centre = (weight * sums.mean[draws]).sum() / weight.sum()
        return float(about(centre, sums.n)[draws].sum()) * count / (count - 1), count - 1
    if (count := float(sums.count.sum())) >= _MIN_DRAWS:
        centre = (sums.count * sums.mean).sum() / count
        between = float(about(centre, np.ones_like(sums.n)).sum()) / (count - 1)
        return float((sums.n**2 * sums.count)[draws].sum()) * between, count - 1
    return np.nan, np.nan
