"""How well logits fit soft labels, and the temperature that fits best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.models.network import softmax


def held_out_figures(logits: NDArray[np.floating], truths: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    """Accuracy and mean cross-entropy (nats) by head. `logits`: (n, heads x classes); `truths`: (n, classes) each."""
    figures = {}
    for part, (head, truth) in zip(np.split(logits, len(truths), axis=1), truths.items(), strict=True):
        asked = truth.sum(axis=1) > 0
        hits = part.argmax(axis=1) == truth.argmax(axis=1)
        figures[f"{head}_accuracy"] = float(hits[asked].mean()) if asked.any() else float("nan")
        figures[f"{head}_nll"] = cross_entropy(part, truth)
    return figures


def cross_entropy(logits: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean cross-entropy in nats of logits against soft labels, (n, classes) each; rows weighted by their sum."""
    likelihoods = np.log(softmax(logits) + 1e-12)
    return float(-(truth * likelihoods).sum() / max(truth.sum(), 1e-12))


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """The temperature in 0.1..10 with the least cross-entropy (Guo et al. 2017, "On Calibration of Modern Neural
    Networks"). `truth`: soft labels, (n, classes).

    It is convex in 1 / temperature, so a ternary search over the logarithm finds the one minimum.
    """
    low, high = np.log(0.1), np.log(10.0)
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        losses = [cross_entropy(logits / np.exp(t), truth) for t in (left, right)]
        low, high = (low, right) if losses[0] < losses[1] else (left, high)
    return float(np.exp((low + high) / 2))
