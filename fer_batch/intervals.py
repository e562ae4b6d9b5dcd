"""Means of time series and their 95 % intervals, for many series at once.

Frames of a video resemble the frames before them, so the interval of a mean comes from a moving-block bootstrap
(Künsch 1989, "The jackknife and the bootstrap for general stationary observations"): blocks of neighbouring samples are
drawn, not single ones. Three refinements, without which the intervals of short and strongly correlated series are far
too narrow (coverage 57 % in place of 95 % for 60 samples with a correlation of 0.9; 92 % with them):

- What a sample carries over from the one before is taken out before blocks are drawn and put back into the variance
  (prewhitening, Andrews & Monahan 1992), with the small-sample bias of the correlation corrected (Kendall 1954).
- The bootstrap's variance of a mean has a closed form, the variance of the block sums, which is that of infinitely many
  replicates. So nothing is drawn at random, and the same rows give the same interval to the last digit.
- The normal quantile becomes Student's, with as many degrees of freedom as there are independent samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

LEVEL = 0.95
#: Samples of a series below which it can't tell its variance: intervals of six covered 50 to 90 %.
LEAST = 7
#: Series below which the spread between them says nothing.
_LEAST_DRAWS = 3
#: Values of a series below which others like it tell more of its variance than it does itself.
SHORT = 20
_MOST_CORRELATED = 0.97
#: What sums are counted in: fine enough for every measure, and they stay below 2**63 for 80 million values of 100.
_UNIT = 2.0**-30


@dataclass(frozen=True)
class Means:
    """A row for each series: `mean` over its values, the `variance` of that mean, the degrees of `freedom` of the
    variance, and how many values there were, `n`; float64 (series,). NaN where unknown."""

    mean: Floats
    variance: Floats
    freedom: Floats
    n: Floats

    def bounds(self, least: float, most: float) -> tuple[Floats, Floats]:
        """The ends of the intervals, kept within the measure's range."""
        half = stdtrit(self.freedom, 0.5 + LEVEL / 2) * np.sqrt(self.variance)
        return np.maximum(self.mean - half, least), np.minimum(self.mean + half, most)


def together(parts: Sequence[Means], order: NDArray[np.int64]) -> Means:
    """The series of all parts as one, in this order."""
    return Means(*(np.concatenate([getattr(part, name) for part in parts])[order]
                   for name in ("mean", "variance", "freedom", "n")))  # fmt: skip


def series_means(values: Floats, starts: NDArray[np.int64]) -> Means:
    """The means of series that lie one after the other in `values`, (samples,), NaN where a sample has no value.

    `starts`: where each series begins, ascending, the first at 0; none is empty. A series is ordered in time; samples
    without a value are passed over, and those around them count as neighbours.
    """
    there = ~np.isnan(values)
    n = np.add.reduceat(there.astype(np.int64), starts) if len(starts) else np.zeros(0, np.int64)
    some = n > 0
    mean, variance, freedom = np.full((3, len(starts)), np.nan)
    mean[some], variance[some], freedom[some] = _dense_means(values[there], n[some])
    return Means(mean, variance, freedom, n.astype(float))


def _dense_means(values: Floats, lengths: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Mean, variance of the mean and degrees of freedom of series of these lengths, one after the other, no gaps."""
    if len(lengths) == 0:
        return np.empty(0), np.empty(0), np.empty(0)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    series = np.repeat(np.arange(len(lengths)), lengths)
    mean = np.add.reduceat(values, starts) / lengths
    apart = values - mean[series]
    correlation = _carried_over(apart, starts, lengths)
    rest = apart.copy()
    rest[1:] -= correlation[series[1:]] * apart[:-1]
    long_run = _block_variance(rest, starts, lengths) / (1 - correlation) ** 2
    known = lengths >= LEAST
    freedom = np.maximum(1.0, lengths * (1 - correlation) / (1 + correlation) - 1)
    return mean, np.where(known, long_run / lengths, np.nan), np.where(known, freedom, np.nan)


def as_draws(parts: Means) -> NDArray[np.bool_]:
    """Which series are draws among others when they are pooled: those with fewer values than a variance takes, and all
    that are shorter than `SHORT` where there are at least three of these.

    A short series can hardly tell its own correlation, and so its variance; the spread between several can. As strata
    they would make the interval of a handful of short clips as wide as the range, or far too narrow.
    """
    short = parts.n < SHORT
    return short if (short & (parts.n > 0)).sum() >= _LEAST_DRAWS else parts.n < LEAST


def pooled(parts: Means, independent: NDArray[np.bool_] | None = None) -> Means:
    """One mean over all values of several series, as a single row.

    Where `independent` (None: see `as_draws`), a series is one draw among others (a picture, a clip too short for a
    variance of its own): the spread between those gives their variance. The other series are strata with the variance
    of their own. Degrees of freedom after Welch and Satterthwaite.
    """
    independent = as_draws(parts) if independent is None else independent
    weight = np.where(parts.n > 0, parts.n, 0.0)
    total = weight.sum()
    if total == 0:
        return Means(*(np.array([value]) for value in (np.nan, np.nan, np.nan, 0.0)))
    means = np.where(parts.n > 0, parts.mean, 0.0)
    mean = (weight * means).sum() / total
    alone = independent & (weight > 0)
    strata = ~independent & (weight > 0)
    shares = weight[strata] / total
    variances, freedoms = list(shares**2 * parts.variance[strata]), list(parts.freedom[strata])
    if (draws := alone.sum()) > 1:
        centre = (weight * means)[alone].sum() / weight[alone].sum()
        spread = ((weight * (means - centre))[alone] ** 2).sum() / total**2
        variances.append(spread * draws / (draws - 1))
        freedoms.append(draws - 1.0)
    elif draws == 1:
        variances.append(np.nan)  # One draw does not tell how far the next would lie.
        freedoms.append(np.nan)
    variance = float(np.sum(variances))
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = variance**2 / np.sum(np.square(variances) / freedoms) if variance > 0 else np.nansum(freedoms)
    return Means(*(np.array([value]) for value in (mean, variance, freedom, total)))


def _carried_over(apart: Floats, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Floats:
    """The correlation of neighbouring samples in each series, corrected for its bias of -(1 + 3 r) / n."""
    products = np.zeros_like(apart)
    products[1:] = apart[1:] * apart[:-1]
    products[starts] = 0.0
    squares = np.add.reduceat(apart**2, starts)
    raw = np.add.reduceat(products, starts) / np.maximum(squares, 1e-300)
    corrected = np.where(lengths >= LEAST, (lengths * raw + 1) / np.maximum(lengths - 3, 1), raw)
    return np.clip(np.where(squares > 0, corrected, 0.0), 0.0, _MOST_CORRELATED)


def _block_variance(rest: Floats, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Floats:
    """The moving-block bootstrap's long-run variance of each series, without its first sample, of which it is unknown
    what it carried over. Blocks are as long as the cube root of the series, the rate that Künsch finds best."""
    usable = lengths - 1
    block = np.maximum(1, np.ceil(np.cbrt(usable) - 1e-9)).astype(np.int64)
    # Whole numbers, so that a series does not depend on what lies before it, to the last digit.
    sums = np.concatenate([[0], np.cumsum(np.rint(rest / _UNIT).astype(np.int64))])
    variance = np.full(len(starts), np.nan)
    for length in np.unique(block):
        mine = np.flatnonzero((block == length) & (usable > length))
        if len(mine) == 0:
            continue
        windows = usable[mine] - length + 1
        first = np.repeat(starts[mine] + 1 - np.concatenate([[0], np.cumsum(windows)[:-1]]), windows)
        begin = first + np.arange(windows.sum())
        blocks = (sums[begin + length] - sums[begin]) * _UNIT
        edges = np.concatenate([[0], np.cumsum(windows)[:-1]])
        mean = np.add.reduceat(blocks, edges) / windows
        spread = np.add.reduceat((blocks - np.repeat(mean, windows)) ** 2, edges) / windows / length
        # Blocks share the mean they are measured from; the fewer there are, the more of the spread it swallows.
        variance[mine] = spread * usable[mine] / (usable[mine] - length)
    return variance
