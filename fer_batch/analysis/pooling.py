"""One mean, with what its interval needs, over many series whose means are known."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fer_batch.analysis.intervals import Floats, Means

#: Series below which the spread between them says nothing.
_LEAST_DRAWS = 3
#: Degrees of freedom below which a variance had rather be told by the spread between series.
_LEAST_FREEDOM = 4.0
#: Series with a variance that is sure enough; with another one; without one.
_SURE, _UNSURE, _WITHOUT = range(3)


class Pool:
    """One mean over all values of several series, which may come bit by bit.

    A series without a variance of its own (a picture, a clip of fewer than `LEAST` values), or with one that it can
    hardly tell, is one draw among others, and so are those that are no longer: the spread between them gives their
    variance. Where fewer than three are like that, only those without a variance are draws, and the spread between all
    series is theirs. The other series are strata with the variance of their own. Degrees of freedom after Welch and
    Satterthwaite.

    Which series are draws, only all of them can tell. So sums are kept of those of each length: a million pictures take
    no more room than one.
    """

    def __init__(self) -> None:
        self._sums = _LengthSums(*np.empty((len(fields(_LengthSums)), 0)))

    def add(self, series: Means) -> None:
        """Take in some series."""
        self._sums = _added_up(self._sums, _length_sums(series))

    def mean(self) -> Means:
        """The mean of all, as a single row."""
        sums = self._sums
        weight, total = sums.n * sums.count, float((sums.n * sums.count).sum())
        if total == 0:
            return Means(*(np.array([value]) for value in (np.nan, np.nan, np.nan, 0.0, 0.0)))
        mean = (weight * sums.mean).sum() / total
        unsure = sums.kind != _SURE
        many = sums.count[unsure].sum() >= _LEAST_DRAWS
        # By length alone: to take those of a length that happen to be sure would be to take those that err low.
        draws = sums.n <= sums.n[unsure].max() if many else sums.kind == _WITHOUT
        strata, share = ~draws, sums.n / total
        variances = [float((share**2 * sums.variance)[strata].sum())]
        doubts = [float((share**4 * sums.doubt)[strata].sum())]
        freedoms = list(sums.freedom[strata])
        if draws.any():
            variance, freedom = _spread_between(sums, draws)
            variances.append(variance / total**2)
            doubts.append(variances[-1] ** 2 / freedom)
            freedoms.append(freedom)
        variance = sum(variances)
        freedom = variance**2 / sum(doubts) if variance > 0 else np.max(freedoms)
        independent = sums.count[draws].sum() + sums.independent[strata].sum()
        return Means(*(np.array([value]) for value in (mean, variance, freedom, total, independent)))


@dataclass(frozen=True)
class _LengthSums:
    """Of the series with `n` values each and of one `kind`: their `count`, their mean `mean`, the `spread` of means
    about it (sum of squares), sums of `variance`, of its square by its freedom (`doubt`) and of `independent` values,
    and the most `freedom`; float64 (lengths and kinds,)."""

    n: Floats
    kind: Floats
    count: Floats
    mean: Floats
    spread: Floats
    variance: Floats
    doubt: Floats
    freedom: Floats
    independent: Floats


def _length_sums(series: Means) -> _LengthSums:
    """Of each series by itself; those without values left out."""
    there = series.n > 0
    n, mean, independent = series.n[there], series.mean[there], series.independent[there]
    variance, freedom = np.nan_to_num(series.variance[there]), np.nan_to_num(series.freedom[there], nan=1.0)
    without = np.isnan(series.variance[there])
    kind = np.where(without, _WITHOUT, np.where(freedom >= _LEAST_FREEDOM, _SURE, _UNSURE)).astype(float)
    return _LengthSums(
        n, kind, np.ones(len(n)), mean, np.zeros(len(n)), variance, variance**2 / freedom, freedom, independent
    )


def _added_up(first: _LengthSums, second: _LengthSums) -> _LengthSums:
    """Both together, one row for each length and kind."""
    names = [field.name for field in fields(_LengthSums)]
    every = _LengthSums(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))
    keys, row = np.unique(np.stack([every.n, every.kind]), axis=1, return_inverse=True)
    row = row.ravel()  # NumPy 2.0.0 gives it a second axis.

    def add_up(values: Floats) -> Floats:
        return np.bincount(row, values, minlength=keys.shape[1]).astype(np.float64)

    count = add_up(every.count)
    mean = add_up(every.count * every.mean) / count
    # After Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance": squares of differences from the
    # mean, not a difference of large squares.
    spread = add_up(every.spread + every.count * (every.mean - mean[row]) ** 2)
    freedom = np.zeros(keys.shape[1])
    np.maximum.at(freedom, row, every.freedom)
    variance, doubt, independent = (add_up(getattr(every, name)) for name in ("variance", "doubt", "independent"))
    return _LengthSums(keys[0], keys[1], count, mean, spread, variance, doubt, freedom, independent)


def _spread_between(sums: _LengthSums, draws: NDArray[np.bool_]) -> tuple[float, float]:
    """The variance of the weighted sum of the draws, and its degrees of freedom."""

    def about(centre: float, weight: Floats) -> Floats:
        return weight**2 * (sums.spread + sums.count * (sums.mean - centre) ** 2)

    if (count := float(sums.count[draws].sum())) >= _LEAST_DRAWS:
        weight = (sums.n * sums.count)[draws]
        centre = (weight * sums.mean[draws]).sum() / weight.sum()
        return float(about(centre, sums.n)[draws].sum()) * count / (count - 1), count - 1
    if (count := float(sums.count.sum())) >= _LEAST_DRAWS:
        centre = (sums.count * sums.mean).sum() / count
        between = float(about(centre, np.ones_like(sums.n)).sum()) / (count - 1)
        return float((sums.n**2 * sums.count)[draws].sum()) * between, count - 1
    return np.nan, np.nan  # One draw does not tell how far the next would lie.


def pooled(series: Means) -> Means:
    """One mean over all values of several series, as a single row; see `Pool`."""
    pool = Pool()
    pool.add(series)
    return pool.mean()
