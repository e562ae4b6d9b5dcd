"""Means of time series and their 95 % intervals, for many series at once.

Frames of a video resemble the frames before them, so the interval of a mean comes from a moving-block bootstrap
(Künsch 1989, "The jackknife and the bootstrap for general stationary observations"): blocks of neighbouring samples are
drawn, not single ones. By itself it covers 57 % in place of 95 % for 60 samples with a correlation of 0.9; so:

- What a sample carries over from the one before is taken out before blocks are drawn and put back into the variance
  (prewhitening, Andrews & Monahan 1992), with the small-sample bias of the correlation corrected (Kendall 1954).
  Windows of one video share their correlation: ten samples cannot tell it.
- The bootstrap's variance of a mean has a closed form, the variance of the block sums, which is that of infinitely many
  replicates. So nothing is drawn at random, and the same rows give the same interval to the last digit.
- The normal quantile becomes Student's. Its degrees of freedom come from how uncertain that variance is itself
  (Satterthwaite 1946), the correlation's part in it included: that is what makes short series honest.
- Measures have a range, and are skewed near its ends: the interval is Wilson's (1927, "Probable inference, the law of
  succession, and statistical inference"), with as many independent samples as give that variance.

`benchmarks/intervals.py` shows the coverage; series below `LEAST` have no interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
#: Values from which a correlation can be told, of one series or of those that share it; and a variance, of a series.
LEAST, LEAST_OF_MANY = 30, 7
_MOST_CORRELATED = 0.97
#: The correlation of a series that never changes, which cannot tell its own.
_UNTOLD = 0.8
#: What sums are counted in: fine enough for every measure, and they stay below 2**63 for 80 million values of 100.
_UNIT = 2.0**-30
#: Degrees of freedom of what is not estimated.
_CERTAIN = 1e9


@dataclass(frozen=True)
class Means:
    """A row for each series: `mean` over its values, the `variance` of that mean, the degrees of `freedom` of the
    variance, how many values there were, `n`, and how many `independent` ones would say as much; float64 (series,).
    NaN where unknown."""

    mean: Floats
    variance: Floats
    freedom: Floats
    n: Floats
    independent: Floats

    def bounds(self, least: float, most: float) -> tuple[Floats, Floats]:
        """The ends of the intervals. `least` and `most`: the measure's range; where both are finite the intervals are
        Wilson's, else symmetric, and cut off at the range."""
        from scipy.special import stdtrit  # Takes a third of a second to load; workers have begun by now.

        student = stdtrit(self.freedom, 0.5 + LEVEL / 2)
        if not np.isfinite(most - least):
            half = student * np.sqrt(self.variance)
            return np.maximum(self.mean - half, least), np.minimum(self.mean + half, most)
        share = np.clip((self.mean - least) / (most - least), 0.0, 1.0)
        spread = share * (1 - share)
        # Student's quantile squared, by the number of independent 0s and 1s of this mean that would vary as much. All
        # at one end they do not vary: there it is the number of samples that counts.
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = student**2 * np.where(
                spread > 0, self.variance / (most - least) ** 2 / spread, 1 / self.independent
            )
        centre = share + weight / 2
        half = np.sqrt(weight * spread + weight**2 / 4)
        low, high = ((centre + side * half) / (1 + weight) for side in (-1, 1))
        at = [least + (most - least) * np.clip(end, 0.0, 1.0) for end in (low, high)]
        return np.minimum(at[0], self.mean), np.maximum(at[1], self.mean)


def series_means(
    values: Floats, starts: NDArray[np.int64], groups: NDArray[np.int64] | None = None, overlap: int = 1
) -> Means:
    """The means of series that lie one after the other in `values`, (samples,), NaN where a sample has no value.

    `starts`: where each series begins, ascending, the first at 0; none is empty. A series is ordered in time; samples
    without a value are passed over, and those around them count as neighbours. `groups`: a number for each series,
    (series,); those of one number share their correlation, as windows of one video do. None: each has its own.
    `overlap`: how many series of a group hold the same value.
    """
    there = ~np.isnan(values)
    n = np.add.reduceat(there.astype(np.int64), starts) if len(starts) else np.zeros(0, np.int64)
    some = n > 0
    mean, variance, freedom, independent = np.full((4, len(starts)), np.nan)
    own = np.arange(len(starts)) if groups is None else groups
    if some.any():
        mean[some], variance[some], freedom[some], independent[some] = _dense_means(
            values[there], n[some], own[some], overlap
        )
    return Means(mean, variance, freedom, n.astype(float), independent)


def _dense_means(
    values: Floats, lengths: NDArray[np.int64], groups: NDArray[np.int64], overlap: int
) -> tuple[Floats, ...]:
    """Mean, variance of the mean, its degrees of freedom and independent values of series of these lengths, one after
    the other, no gaps."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    series = np.repeat(np.arange(len(lengths)), lengths)
    mean = np.add.reduceat(values, starts) / lengths
    apart = values - mean[series]
    correlation, told_by = _carried_over(apart, starts, lengths, groups)
    told_by = told_by / overlap
    rest = apart.copy()
    rest[1:] -= correlation[series[1:]] * apart[:-1]
    block = _block_lengths(lengths)
    long_run = _block_variance(rest, starts, lengths, block) / (1 - correlation) ** 2
    # Of a few samples the mean varies less than in the long run: what lies outside of them is missing from the sum of
    # correlations, sum over k of (1 - |k| / n) r^|k|.
    missing = 2 * correlation * (1 - correlation**lengths) / (lengths * (1 - correlation**2))
    slow = (1 + correlation) / (1 - correlation)
    # Satterthwaite: 2 / the relative variance of the estimate, which is 4/3 blocks / n for overlapping blocks (Künsch
    # 1989) and, since r enters as (1 - r)^-2, 4 (1 - r^2) / (1 - r)^2 / n for the correlation (Bartlett 1946).
    freedom = 1 / (np.maximum(1, 2 / 3 * block) / np.maximum(lengths - 1, 1) + 2 * slow / np.maximum(told_by, 1))
    freedom[long_run == 0] = _CERTAIN
    known = (lengths >= LEAST_OF_MANY) & (told_by >= LEAST)
    variance = np.where(known, long_run * (1 - missing) / lengths, np.nan)
    return mean, variance, np.where(known, np.maximum(freedom, 1.0), np.nan), lengths / slow


def _carried_over(
    apart: Floats, starts: NDArray[np.int64], lengths: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """The correlation of neighbouring samples in each series, that of its group, corrected for its bias of
    -(1 + 3 r) / n, and how many values told it."""
    products = np.zeros_like(apart)
    products[1:] = apart[1:] * apart[:-1]
    products[starts] = 0.0
    _, group = np.unique(groups, return_inverse=True)
    fit = lengths >= LEAST_OF_MANY

    def in_group(values: Floats) -> Floats:
        return np.bincount(group, np.where(fit, values, 0.0)).astype(float)

    squares = in_group(np.add.reduceat(apart**2, starts))
    told_by, series = in_group(lengths.astype(float)), in_group(np.ones(len(lengths)))
    raw = in_group(np.add.reduceat(products, starts)) / np.maximum(squares, 1e-300)
    length = told_by / np.maximum(series, 1)
    corrected = np.clip((length * raw + 1) / np.maximum(length - 3, 1), 0.0, _MOST_CORRELATED)
    return np.where(squares > _UNIT**2, corrected, _UNTOLD)[group], told_by[group]


def _block_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cube root of the series without its first sample, the rate that Künsch finds best."""
    return np.maximum(1, np.ceil(np.cbrt(lengths - 1) - 1e-9)).astype(np.int64)


def _block_variance(
    rest: Floats, starts: NDArray[np.int64], lengths: NDArray[np.int64], block: NDArray[np.int64]
) -> Floats:
    """The moving-block bootstrap's long-run variance of each series, without its first sample, of which it is unknown
    what it carried over. `block`: the length of blocks."""
    usable = lengths - 1
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
