"""Intervals over respondents: of one mean, and of all means of a curve at once.

The respondent is the unit: values are (respondents, ...), NaN where a respondent has none. Measures lie between two
ends and are mostly skewed, so intervals are made on the logit scale of the range, where the mean of few respondents is
nearer to a normal variable, and are mapped back: they never leave the range.

`benchmarks/studies.py` measures how many intervals hold the truth; docs/guide/studies.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Fewer respondents than this give values without intervals.
ENOUGH_RESPONDENTS = 3
#: How much an end on the side of the longer tail is moved out, per unit of skewness / sqrt(respondents), of an interval
#: and of a band. It is the order of the error that skewness causes (Hall 1992); the factors were chosen by simulation.
_INTERVAL_TAIL, _BAND_TAIL = 0.6, 0.2
#: A moderated variance is better known than its weights say, for many bins share in it. By how much, chosen likewise.
_MODERATED_DEGREES = 1.5
#: Random draws behind a simultaneous band, their seed, and how many bins are worked on at once: as many as a
#: processor's cache holds of all draws.
_DRAWS, _SEED, _BINS_AT_ONCE = 2000, 20240917, 256
#: Standard deviations below this, as a share of the range, are rounding errors.
_NO_SPREAD = 1e-7


@dataclass(frozen=True)
class Estimate:
    """Means over respondents with the ends of their intervals; arrays of one shape. NaN where there is none."""

    respondents: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class _Moments:
    """What intervals are made of, per column: share: the mean as a share 0..1 of the range; spread: the standard
    deviation over respondents, in the same unit. apart: each respondent's distance from the mean, (respondents,
    columns), 0 where there is no value."""

    respondents: NDArray[np.int64]
    share: Floats
    spread: Floats
    skewness: Floats
    apart: Floats


def mean_interval(values: Floats, limits: tuple[float, float], confidence: float = 0.95) -> Estimate:
    """Means over respondents and their pointwise intervals.

    A t interval on the logit scale, widened on the side of the longer tail.

    Args:
        values: (respondents, columns), NaN where a respondent has no value.
        limits: The least and the largest value the measure can have.
        confidence: Share of intervals that hold the true mean, in 0..1.

    Returns:
        Arrays of (columns,); no interval below `ENOUGH_RESPONDENTS` respondents.
    """
    return _pointwise(_moments(values, limits), limits, confidence)


def simultaneous_band(values: Floats, limits: tuple[float, float], confidence: float = 0.95) -> Estimate:
    """Means over respondents and a band that holds the whole curve with the given confidence.

    Sup-t: the largest of the studentized deviations over all columns, from a Gaussian multiplier bootstrap over
    respondents (Chernozhukov, Chetverikov and Kato 2013) with a fixed seed, carried over from the normal distribution
    to Student's. Variances are moderated: that of a column, relative to mean (1 - mean) of the range, is averaged with
    the mean of all columns, which counts for as many degrees of freedom as the respondents give (Smyth 2004). Of few
    respondents some columns have hardly any spread by chance; without it a band would nearly always miss there.

    Args: as of `mean_interval`; columns are the bins of the curve, in order.
    """
    return curve_intervals(values, limits, confidence)[1]


def curve_intervals(values: Floats, limits: tuple[float, float], confidence: float = 0.95) -> tuple[Estimate, Estimate]:
    """Both of a curve: what `mean_interval` and `simultaneous_band` give."""
    moments = _moments(values, limits)
    pointwise = _pointwise(moments, limits, confidence)
    band = _band(moments, limits, confidence)
    # Where a column's own spread is far above the others' the pointwise interval may reach farther; a band holds it.
    low, high = np.minimum(band.low, pointwise.low), np.maximum(band.high, pointwise.high)
    return pointwise, Estimate(band.respondents, band.mean, low, high)


def _pointwise(moments: _Moments, limits: tuple[float, float], confidence: float) -> Estimate:
    from scipy.special import stdtrit

    degrees = np.maximum(moments.respondents - 1, 1)
    factor = stdtrit(degrees, 0.5 + confidence / 2)
    return _estimate(moments, moments.spread, factor, _INTERVAL_TAIL, limits)


def _band(moments: _Moments, limits: tuple[float, float], confidence: float) -> Estimate:
    from scipy.special import ndtr, stdtrit

    own = np.maximum(moments.respondents - 1, 0).astype(float)
    prior = max(len(moments.apart) - 1, 1)
    binomial = moments.share * (1 - moments.share)
    usable = (moments.respondents >= ENOUGH_RESPONDENTS) & (binomial > 0)
    if not usable.any():
        return _estimate(moments, moments.spread, np.full(len(own), np.nan), _BAND_TAIL, limits)
    relative = np.divide(moments.spread**2, binomial, out=np.zeros_like(binomial), where=usable)
    pooled = np.average(relative[usable], weights=own[usable])
    moderated = np.sqrt((prior * pooled + own * relative) / (prior + own) * binomial)
    level = ndtr(_sup_quantile(moments.apart[:, usable], confidence))
    factor = np.maximum(stdtrit(_MODERATED_DEGREES * (prior + own), level), 0.0)
    return _estimate(moments, moderated, factor, _BAND_TAIL, limits)


def _moments(values: Floats, limits: tuple[float, float]) -> _Moments:
    minimum, maximum = limits
    shares = (values - minimum) / (maximum - minimum)
    there = ~np.isnan(shares)
    respondents = there.sum(axis=0)
    counted = np.maximum(respondents, 1)
    share = np.clip(np.where(there, shares, 0.0).sum(axis=0) / counted, 0.0, 1.0)
    apart = np.where(there, shares - share, 0.0)
    squared = apart**2
    squares = squared.sum(axis=0)
    spread = np.sqrt(squares / np.maximum(respondents - 1, 1))
    spread[spread < _NO_SPREAD] = 0.0
    deviation = np.sqrt(squares / counted)
    cubes = (squared * apart).sum(axis=0)  # NumPy's power of 3 takes ten times as long.
    skewness = np.divide(cubes / counted, deviation**3, out=np.zeros_like(share), where=spread > 0)
    return _Moments(respondents, np.where(respondents > 0, share, np.nan), spread, skewness, apart)


def _estimate(moments: _Moments, spread: Floats, factor: Floats, tail: float, limits: tuple[float, float]) -> Estimate:
    """The intervals of `factor` standard errors, longer on the side of the longer tail by `tail` x skewness / sqrt(n).

    All at one end of the range respondents have no spread; there it is their number that counts: the interval is
    Wilson's of as many zeros or ones.
    """
    minimum, maximum = limits
    share, respondents = moments.share, np.maximum(moments.respondents, 1)
    factor = np.where(moments.respondents >= ENOUGH_RESPONDENTS, factor, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        logit = np.log(share / (1 - share))
        half = factor * spread / np.sqrt(respondents) / (share * (1 - share))
        longer = tail * moments.skewness / np.sqrt(respondents)
        low = 1 / (1 + np.exp(half * (1 + np.maximum(-longer, 0)) - logit))
        high = 1 / (1 + np.exp(-half * (1 + np.maximum(longer, 0)) - logit))
        reach = factor**2 / (respondents + factor**2)
    low = np.where(share == 0, 0 * factor, np.where(share == 1, 1 - reach, low))
    high = np.where(share == 1, 1 + 0 * factor, np.where(share == 0, reach, high))
    mean, low, high = (minimum + (maximum - minimum) * end for end in (share, low, high))
    return Estimate(moments.respondents, mean, np.minimum(low, mean), np.maximum(high, mean))


def _sup_quantile(apart: Floats, confidence: float) -> float:
    """The quantile of the largest absolute value over all columns of a normal process that is correlated as they are.
    `apart`: (respondents, columns), see `_Moments`."""
    weights, largest = _weights(len(apart)), np.zeros(_DRAWS, np.float32)
    size = np.sqrt((apart**2).sum(axis=0))
    scaled = np.divide(apart, size, out=np.zeros_like(apart), where=size > 0).astype(np.float32)
    for start in range(0, scaled.shape[1], _BINS_AT_ONCE):
        process = weights @ scaled[:, start : start + _BINS_AT_ONCE]
        np.maximum(largest, process.max(axis=1), out=largest)
        np.maximum(largest, -process.min(axis=1), out=largest)
    return float(np.quantile(largest, confidence))


@lru_cache(maxsize=1)
def _weights(respondents: int) -> NDArray[np.float32]:
    """Standard normal numbers, (draws, respondents)."""
    return np.random.default_rng(_SEED).standard_normal((_DRAWS, respondents), np.float32)
