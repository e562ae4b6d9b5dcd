"""Fit of logits to soft labels, temperature scaling, and the calibration of corrected shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.emotion.model import softmax
from fer_batch.share_correction import ShareCorrection


def held_out_metrics(logits: NDArray[np.floating], truths: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    """Accuracy and mean cross-entropy (nats) by head. `logits`: (n, heads x classes); `truths`: (n, classes) each."""
    metrics = {}
    for part, (head, truth) in zip(np.split(logits, len(truths), axis=1), truths.items(), strict=True):
        labelled = truth.sum(axis=1) > 0
        hits = part.argmax(axis=1) == truth.argmax(axis=1)
        metrics[f"{head}_accuracy"] = float(hits[labelled].mean()) if labelled.any() else float("nan")
        metrics[f"{head}_nll"] = cross_entropy(part, truth)
    return metrics


def cross_entropy(logits: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean cross-entropy in nats of logits against soft labels, (n, classes) each; rows weighted by their sum."""
    likelihoods = np.log(softmax(logits) + 1e-12)
    return float(-(truth * likelihoods).sum() / max(truth.sum(), 1e-12))


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """The temperature in 0.1..10 with the lowest cross-entropy (Guo et al. 2017, "On Calibration of Modern Neural
    Networks").

    Cross-entropy is convex in 1 / temperature, so a ternary search over the logarithm finds the minimum.

    Args:
        logits: (n, classes).
        truth: Soft labels, (n, classes).

    Returns:
        The temperature to divide logits by.
    """
    low, high = np.log(0.1), np.log(10.0)
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        losses = [cross_entropy(logits / np.exp(t), truth) for t in (left, right)]
        low, high = (low, right) if losses[0] < losses[1] else (left, high)
    return float(np.exp((low + high) / 2))


def fit_share_correction(probabilities: NDArray[np.floating], truth: NDArray[np.floating]) -> ShareCorrection | None:
    """Fit the correction of shares in summaries on faces that the model was not trained on.

    Args:
        probabilities: As in the tables, (n, classes).
        truth: Soft labels, (n, classes). Faces without a single most named emotion are left out.

    Returns:
        The correction; None where no face is left.
    """
    ordered = np.sort(truth, axis=1)
    other = 1.0 - truth.sum(axis=1)  # The share of annotators who saw something else.
    clear = ordered[:, -1] > np.maximum(ordered[:, -2], other)
    if not clear.any():
        return None
    most_named = np.eye(truth.shape[1])[truth[clear].argmax(axis=1)]
    exponent = 1 / fit_temperature(np.log(probabilities[clear] + 1e-12), most_named)
    prior = ShareCorrection(exponent, ()).posteriors(probabilities[clear]).mean(axis=0)
    return ShareCorrection(round(exponent, 6), tuple(round(max(float(share), 1e-6), 6) for share in prior))
