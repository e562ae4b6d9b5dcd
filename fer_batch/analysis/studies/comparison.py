"""Differences between two groups of respondents, or between two conditions of the same respondents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.analysis.studies.inference import ENOUGH_RESPONDENTS, Floats


@dataclass(frozen=True)
class Contrast:
    """Side a minus side b, arrays of (columns,). NaN where there are too few respondents, or no spread."""

    difference: Floats
    difference_low: Floats
    difference_high: Floats
    hedges_g: Floats
    hedges_g_low: Floats
    hedges_g_high: Floats
    p: Floats
    respondents_a: NDArray[np.int64]
    respondents_b: NDArray[np.int64]


def paired_contrast(a: Floats, b: Floats, confidence: float = 0.95) -> Contrast:
    """The t test of paired differences, with its interval and Hedges' g.

    g is the mean difference by the root of the mean of both variances (d_av: Lakens 2013), corrected for small samples
    with n - 1 degrees of freedom; its variance is that of Borenstein et al. 2009, eq. 4.28.

    Args:
        a, b: (respondents, columns), the same respondents in the same rows, NaN where one has no value.
        confidence: Of the intervals, in 0..1.
    """
    both = ~np.isnan(a) & ~np.isnan(b)
    a, b = np.where(both, a, np.nan), np.where(both, b, np.nan)
    n = both.sum(axis=0)
    (_, variance_a), (_, variance_b) = _mean_and_variance(a), _mean_and_variance(b)
    difference, variance = _mean_and_variance(a - b)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt((variance_a + variance_b) / 2)
        effect = difference / spread
        correlation = (variance_a + variance_b - variance) / (2 * np.sqrt(variance_a * variance_b))
        effect_variance = 2 * (1 - correlation) * (1 / n + effect**2 / (2 * n))
    error, degrees = variance / np.maximum(n, 1), n - 1.0
    return _contrast(difference, error, degrees, effect, effect_variance, degrees, n, n, confidence)


def welch_contrast(a: Floats, b: Floats, confidence: float = 0.95) -> Contrast:
    """Welch's t test of two groups, with its interval and Hedges' g.

    g is the mean difference by the pooled standard deviation, corrected for small samples; its variance is that of
    Borenstein et al. 2009, eq. 4.20.

    Args:
        a, b: (respondents, columns) of different respondents, NaN where one has no value.
        confidence: Of the intervals, in 0..1.
    """
    n_a, n_b = (~np.isnan(a)).sum(axis=0), (~np.isnan(b)).sum(axis=0)
    mean_a, variance_a = _mean_and_variance(a)
    mean_b, variance_b = _mean_and_variance(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        error_a, error_b = variance_a / n_a, variance_b / n_b
        degrees = (error_a + error_b) ** 2 / (error_a**2 / (n_a - 1) + error_b**2 / (n_b - 1))
        pooled = ((n_a - 1) * variance_a + (n_b - 1) * variance_b) / (n_a + n_b - 2)
        effect = (mean_a - mean_b) / np.sqrt(pooled)
        effect_variance = (n_a + n_b) / (n_a * n_b) + effect**2 / (2 * (n_a + n_b))
    difference = mean_a - mean_b
    error, effect_degrees = error_a + error_b, n_a + n_b - 2.0
    return _contrast(difference, error, degrees, effect, effect_variance, effect_degrees, n_a, n_b, confidence)


def holm(p: Floats) -> Floats:
    """P values adjusted for the number of tests (Holm 1979); NaN stays NaN and does not count as a test."""
    adjusted = np.full(p.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    stepwise = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepwise), 1.0)
    return adjusted


def _mean_and_variance(values: Floats) -> tuple[Floats, Floats]:
    """Of each column; the variance is NaN below two values."""
    there = ~np.isnan(values)
    n = there.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(there, values, 0.0).sum(axis=0) / n
        variance = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0) / np.where(n > 1, n - 1, np.nan)
    return mean, variance


def _contrast(
    difference: Floats, error: Floats, degrees: Floats, effect: Floats, effect_variance: Floats, effect_degrees: Floats,
    n_a: NDArray[np.int64], n_b: NDArray[np.int64], confidence: float,
) -> Contrast:  # fmt: skip
    """`error`: the variance of the difference, with `degrees` of freedom; `effect`: the standardized difference before
    its correction for a standard deviation with `effect_degrees` of freedom."""
    from scipy.special import gammaln, ndtri, stdtr, stdtrit

    enough = (np.minimum(n_a, n_b) >= ENOUGH_RESPONDENTS) & (error > 0)
    error, degrees = np.where(enough, error, np.nan), np.where(enough, degrees, np.nan)
    half = stdtrit(degrees, 0.5 + confidence / 2) * np.sqrt(error)
    p = 2 * stdtr(degrees, -np.abs(difference) / np.sqrt(error))
    effect_degrees = np.where(enough, effect_degrees, np.nan)
    correction = np.exp(gammaln(effect_degrees / 2) - gammaln((effect_degrees - 1) / 2)) / np.sqrt(effect_degrees / 2)
    g = np.where(enough, correction * effect, np.nan)
    g_half = ndtri(0.5 + confidence / 2) * correction * np.sqrt(effect_variance)
    return Contrast(difference, difference - half, difference + half, g, g - g_half, g + g_half, p, n_a, n_b)
