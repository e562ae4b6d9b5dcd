"""Means of time series and their 95 % intervals, for many series at once.

Consecutive frames of a video are similar, so the interval of a mean comes from a moving-block bootstrap (Künsch 1989,
"The jackknife and the bootstrap for general stationary observations"): it resamples blocks of consecutive samples, not
single samples. Alone it covers 57 % instead of 95 % for 60 samples with a lag-1 autocorrelation of 0.9, therefore:

- The lag-1 autocorrelation is removed before blocks are formed and put back into the variance (prewhitening, Andrews &
  Monahan 1992), with its small-sample bias corrected (Kendall 1954). Windows of one video share their autocorrelation:
  ten samples are too few to estimate it.
- The bootstrap's variance of a mean has a closed form, the variance of the block sums, which is that of infinitely many
  replicates. So nothing is random, and the same rows give the same interval to the last digit.
- The normal quantile becomes Student's. Its degrees of freedom come from the uncertainty of the variance estimate
  (Satterthwaite 1946), including that of the autocorrelation, which keeps the coverage of short series.
- Measures have a range and are skewed near its ends: the interval is Wilson's (1927, "Probable inference, the law of
  succession, and statistical inference"), with the effective sample size that gives that variance.

`benchmarks/intervals.py` measures the coverage; series of fewer than `MIN_SAMPLES` have no interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
#: Minimum sample size to estimate an autocorrelation (of a series or its group), and a variance (of a series).
MIN_SAMPLES, MIN_SAMPLES_OF_WINDOW = 30, 7
_MAX_AUTOCORRELATION = 0.97
#: For a series that never changes, whose autocorrelation is undefined.
_ASSUMED_AUTOCORRELATION = 0.8
#: Unit of integer sums: fine enough for every measure, and sums of 80 million values of 100 stay below 2**63.
_UNIT = 2.0**-30
#: Degrees of freedom of a variance that is not estimated.
_NO_UNCERTAINTY = 1e9


@dataclass(frozen=True)
class Means:
    """Means of series, each field float64 of shape (series,), NaN where unknown.

    Attributes:
        mean: Mean over the values of a series.
        variance: Variance of that mean.
        degrees: Degrees of freedom of the variance.
        n: Number of values.
        effective_n: Number of independent values with the same variance of the mean.
    """

    mean: Floats
    variance: Floats
    degrees: Floats
    n: Floats
    effective_n: Floats

    def bounds(self, minimum: float, maximum: float) -> tuple[Floats, Floats]:
        """The lower and upper ends of the intervals.

        Args:
            minimum: Lower end of the measure's range.
            maximum: Upper end. Where both are finite the intervals are Wilson's, else symmetric and clipped to the
                range.

        Returns:
            Two arrays of shape (series,).
        """
        from scipy.special import stdtrit  # Takes a third of a second to load; workers have begun by now.

        student = stdtrit(self.degrees, 0.5 + CONFIDENCE / 2)
        if not np.isfinite(maximum - minimum):
            half = student * np.sqrt(self.variance)
            return np.maximum(self.mean - half, minimum), np.minimum(self.mean + half, maximum)
        share = np.clip((self.mean - minimum) / (maximum - minimum), 0.0, 1.0)
        spread = share * (1 - share)
        # Student's quantile squared over the number of independent 0s and 1s with this mean and variance. If all are at
        # one end the variance is 0: then the effective number of samples counts.
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = student**2 * np.where(
                spread > 0, self.variance / (maximum - minimum) ** 2 / spread, 1 / self.effective_n
            )
        centre = share + weight / 2
        half = np.sqrt(weight * spread + weight**2 / 4)
        low, high = ((centre + side * half) / (1 + weight) for side in (-1, 1))
        at = [minimum + (maximum - minimum) * np.clip(end, 0.0, 1.0) for end in (low, high)]
        return np.minimum(at[0], self.mean), np.maximum(at[1], self.mean)


def series_means(
    values: Floats, starts: NDArray[np.int64], groups: NDArray[np.int64] | None = None, overlap: int = 1
) -> Means:
    """The means of consecutive series in one array.

    Args:
        values: All series one after the other, each in the order of time, (samples,). NaN where a sample has no value;
            such samples are skipped, and those on both sides count as neighbours.
        starts: Index of the first sample of each series, ascending from 0, (series,). No series is empty.
        groups: A number for each series, (series,). Series of one group share their autocorrelation, as windows of one
            video do. None: each series has its own.
        overlap: In how many series of a group each value occurs.
    """
    present = ~np.isnan(values)
    n = np.add.reduceat(present.astype(np.int64), starts) if len(starts) else np.zeros(0, np.int64)
    some = n > 0
    mean, variance, degrees, effective_n = np.full((4, len(starts)), np.nan)
    own = np.arange(len(starts)) if groups is None else groups
    if some.any():
        mean[some], variance[some], degrees[some], effective_n[some] = _dense_means(
            values[present], n[some], own[some], overlap
        )
    return Means(mean, variance, degrees, n.astype(float), effective_n)


def _dense_means(
    values: Floats, lengths: NDArray[np.int64], groups: NDArray[np.int64], overlap: int
) -> tuple[Floats, ...]:
    """Mean, variance of the mean, its degrees of freedom and effective number of values of consecutive series without
    gaps."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    series = np.repeat(np.arange(len(lengths)), lengths)
    mean = np.add.reduceat(values, starts) / lengths
    deviations = values - mean[series]
    correlation, samples = _lag1_autocorrelation(deviations, starts, lengths, groups)
    samples = samples / overlap
    residuals = deviations.copy()
    residuals[1:] -= correlation[series[1:]] * deviations[:-1]
    block = _block_lengths(lengths)
    long_run = _block_variance(residuals, starts, lengths, block) / (1 - correlation) ** 2
    # The mean of few samples varies less than the long-run variance says: the sum of correlations over k of
    # (1 - |k| / n) r^|k| ends at n.
    missing = 2 * correlation * (1 - correlation**lengths) / (lengths * (1 - correlation**2))
    slow = (1 + correlation) / (1 - correlation)
    # Satterthwaite: 2 / the relative variance of the estimate, which is 4/3 blocks / n for overlapping blocks (Künsch
    # 1989) and, since r enters as (1 - r)^-2, 4 (1 - r^2) / (1 - r)^2 / n for the correlation (Bartlett 1946).
    degrees = 1 / (np.maximum(1, 2 / 3 * block) / np.maximum(lengths - 1, 1) + 2 * slow / np.maximum(samples, 1))
    degrees[long_run == 0] = _NO_UNCERTAINTY
    known = (lengths >= MIN_SAMPLES_OF_WINDOW) & (samples >= MIN_SAMPLES)
    variance = np.where(known, long_run * (1 - missing) / lengths, np.nan)
    return mean, variance, np.where(known, np.maximum(degrees, 1.0), np.nan), lengths / slow


def _lag1_autocorrelation(
    deviations: Floats, starts: NDArray[np.int64], lengths: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """The lag-1 autocorrelation of each series' group, corrected for its bias of -(1 + 3 r) / n, and the number of
    values it was estimated from."""
    products = np.zeros_like(deviations)
    products[1:] = deviations[1:] * deviations[:-1]
    products[starts] = 0.0
    _, group = np.unique(groups, return_inverse=True)
    fit = lengths >= MIN_SAMPLES_OF_WINDOW

    def in_group(values: Floats) -> Floats:
        return np.bincount(group, np.where(fit, values, 0.0)).astype(float)

    squares = in_group(np.add.reduceat(deviations**2, starts))
    samples, series = in_group(lengths.astype(float)), in_group(np.ones(len(lengths)))
    raw = in_group(np.add.reduceat(products, starts)) / np.maximum(squares, 1e-300)
    length = samples / np.maximum(series, 1)
    corrected = np.clip((length * raw + 1) / np.maximum(length - 3, 1), 0.0, _MAX_AUTOCORRELATION)
    return np.where(squares > _UNIT**2, corrected, _ASSUMED_AUTOCORRELATION)[group], samples[group]


def _block_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cube root of the series without its first sample, the rate that Künsch finds best."""
    return np.maximum(1, np.ceil(np.cbrt(lengths - 1) - 1e-9)).astype(np.int64)


def _block_variance(
    residuals: Floats, starts: NDArray[np.int64], lengths: NDArray[np.int64], block: NDArray[np.int64]
) -> Floats:
    """The moving-block bootstrap's long-run variance of each series. The first sample is left out: it has no residual.
    `block`: the length of blocks."""
    usable = lengths - 1
    # Integer sums: the rounding errors of float sums would depend on the series before.
    sums = np.concatenate([[0], np.cumsum(np.rint(residuals / _UNIT).astype(np.int64))])
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
        # Blocks share the mean that deviations are taken from; the fewer there are, the smaller their spread.
        variance[mine] = spread * usable[mine] / (usable[mine] - length)
    return variance
