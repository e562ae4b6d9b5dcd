"""How many of the 95 % intervals hold the true mean?

    python benchmarks/intervals.py [--series 4000] [--seed 0]

Makes series of which the mean is known, each value carrying over a share `r` of the one before (autoregressive of order
one), asks `fer_batch.analysis.intervals` for the interval of their means, and prints how many in 100 hold it, by length
and r:

- normal: without a range, as a number of faces is nearly;
- probability: between 0 and 1, mean 0.21, often near 0 (a logistic function of a normal series);
- presence: 0 or 1, in four of five samples 1, there and away for a while;

of a single series, of a window among twelve of one video, and of twelve files together.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fer_batch.analysis.intervals import Means, series_means
from fer_batch.analysis.pooling import Pool

CORRELATIONS = (0.0, 0.3, 0.6, 0.8, 0.9)
KINDS = ("normal", "probability", "presence")
RANGES = {"normal": (-np.inf, np.inf)}
PRESENT = 0.8


def logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(expit(1.5 * values - 2))


def draw(kind: str, count: int, length: int, correlation: float, seed: int) -> tuple[NDArray[np.float64], float]:
    """Series, (count, length), and their true mean."""
    rng = np.random.default_rng(seed)
    if kind == "presence":
        fresh, kept = rng.random((count, length)) < PRESENT, rng.random((count, length)) < correlation
        for time in range(1, length):
            fresh[:, time] = np.where(kept[:, time], fresh[:, time - 1], fresh[:, time])
        return fresh.astype(float), PRESENT
    values = rng.normal(size=(count, length))
    for time in range(1, length):
        values[:, time] = correlation * values[:, time - 1] + np.sqrt(1 - correlation**2) * values[:, time]
    if kind == "normal":
        return values, 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return logistic(values), float(logistic(nodes) @ weights / weights.sum())


def pooled(series: Means) -> Means:
    """The mean over several series, as a single row."""
    pool = Pool()
    pool.add(series)
    return pool.mean()


def joined(rows: list[Means]) -> Means:
    """Single means, concatenated."""
    names = ("mean", "variance", "degrees", "n", "effective_n")
    return Means(*(np.concatenate([getattr(row, name) for row in rows]) for name in names))


def covered(kind: str, how: str, length: int, correlation: float, series: int, seed: int) -> float:
    """The share of intervals that hold the mean; NaN where there are none."""
    values, truth = draw(kind, series // 12 * 12, length, correlation, seed)
    if how == "files":
        starts = np.arange(12) * length
        means = joined([pooled(series_means(file.ravel(), starts)) for file in np.split(values, len(values) // 12)])
    else:
        groups = np.arange(len(values)) // (12 if how == "windows" else 1)
        means = series_means(values.ravel(), np.arange(len(values)) * length, groups)
    low, high = means.bounds(*RANGES.get(kind, (0.0, 1.0)))
    if np.isnan(low).all():
        return float("nan")
    return float(np.mean((low <= truth) & (truth <= high)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lengths = {
        "a single series": (20, 30, 60, 120, 300, 1000, 2000),
        "windows": (7, 10, 20, 50),
        "files": (1, 8, 30, 60, 300),
    }
    for how, rows in lengths.items():
        columns = [f"{kind}, r = {r:g}" if r == 0 else f"{r:g}" for kind in KINDS for r in CORRELATIONS]
        print(f"\n| {how} of | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
        for length in rows:
            series = options.series * (6 if how == "files" else 1)
            cells = [
                covered(kind, how, length, r, series, options.seed + length) for kind in KINDS for r in CORRELATIONS
            ]
            printed = " | ".join("none" if np.isnan(cell) else f"{100 * cell:.0f}" for cell in cells)
            print(f"| {length} values | {printed} |", flush=True)


if __name__ == "__main__":
    main()
