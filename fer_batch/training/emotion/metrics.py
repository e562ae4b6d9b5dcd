"""Metrics of a classifier, from probabilities and labels alone. Fractions, not per cent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS, merge_disgust
from fer_batch.training.emotion.dataset import FERPLUS_COLUMNS

_TINY = 1e-12
#: FER+ rows with more than this many of ten votes on one emotion have a clear majority.
CLEAR_MAJORITY = 5


def expected_calibration_error(
    confidence: NDArray[np.floating], correct: NDArray[np.floating], bins: int = 15
) -> float:
    """ECE over equal-width bins of confidence (Naeini et al. 2015; 15 bins as in Guo et al. 2017).

    Args:
        confidence: Probability of the predicted class, (n,).
        correct: 1 or 0, or the share of annotators who agree, (n,).
        bins: Number of bins.

    Returns:
        The mean gap between confidence and correctness, 0 to 1.
    """
    rows = reliability(confidence, correct, bins)
    gaps = [row["n"] * abs(row["confidence"] - row["correct"]) for row in rows]
    return sum(gaps) / len(confidence)


def reliability(
    confidence: NDArray[np.floating], correct: NDArray[np.floating], bins: int = 15
) -> list[dict[str, float]]:
    """The bins of the calibration error that hold faces: mean `confidence`, mean `correct`, and their number, `n`."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    n = np.bincount(index, minlength=bins)
    sums = (np.bincount(index, weights=values, minlength=bins) for values in (confidence, correct))
    rows = zip(*sums, n, strict=True)
    return [{"confidence": float(c / m), "correct": float(k / m), "n": int(m)} for c, k, m in rows if m > 0]


def confusion_matrix(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts, (classes, classes): rows are the true class, columns the predicted one."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def label_metrics(
    probabilities: NDArray[np.floating], labels: NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, Any]:
    """Accuracy, top-2 accuracy, macro-F1, NLL, ECE, six-class accuracy, metrics per class, confusion matrix.

    Args:
        probabilities: (n, classes).
        labels: Indices into `names`, (n,).
        names: The classes.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, len(names))
    hits = matrix.diagonal()
    recall = hits / np.maximum(matrix.sum(axis=1), 1)
    precision = hits / np.maximum(matrix.sum(axis=0), 1)
    f1 = 2 * hits / np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1)
    top2 = np.argsort(-probabilities, axis=1)[:, :2] == labels[:, None]
    return {
        "accuracy": float((predicted == labels).mean()),
        "top2_accuracy": float(top2.any(axis=1).mean()),
        "macro_f1": float(f1.mean()),
        "nll": float(-np.log(probabilities[np.arange(len(labels)), labels] + _TINY).mean()),
        "ece": expected_calibration_error(probabilities.max(axis=1), predicted == labels),
        "reliability": reliability(probabilities.max(axis=1), predicted == labels),
        "six_class_accuracy": _six_class_accuracy(probabilities, labels, names),
        "per_class": {
            name: {
                "recall": float(recall[i]),
                "precision": float(precision[i]),
                "f1": float(f1[i]),
                "n": int(matrix[i].sum()),
            }
            for i, name in enumerate(names)
        },
        "confusion_matrix": matrix.tolist(),
    }


def _six_class_accuracy(
    probabilities: NDArray[np.floating], labels: NDArray[np.int64], names: tuple[str, ...]
) -> float:
    if names != EMOTIONS:  # The model was trained on six classes already.
        return float((probabilities.argmax(axis=1) == labels).mean())
    merged_labels = merge_disgust(np.eye(len(EMOTIONS))[labels]).argmax(axis=1)
    return float((merge_disgust(probabilities).argmax(axis=1) == merged_labels).mean())


def vote_metrics(
    probabilities: NDArray[np.floating], votes: NDArray[np.float32], names: tuple[str, ...]
) -> dict[str, Any] | None:
    """Agreement with FER+'s annotators, on the faces with votes for one of the emotions.

    Args:
        probabilities: (n, classes).
        votes: Counts in FER+'s order, (n, 10); NaN where there are none.
        names: The classes.

    Returns:
        `majority_accuracy`, over faces on which more than five of ten annotators agree; `kl`, the mean of KL(vote
        shares || probabilities) in nats; `ece`, of the predicted class's probability against the share of annotators
        who chose it. None without such faces.
    """
    counts = _emotion_counts(votes, names)
    rows = counts.sum(axis=1) > 0
    if not rows.any():
        return None
    counts, probabilities = counts[rows], probabilities[rows]
    shares = counts / counts.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    clear = counts.max(axis=1) > CLEAR_MAJORITY
    divergence = shares * (np.log(shares + _TINY) - np.log(probabilities + _TINY))
    agreement = shares[np.arange(len(shares)), predicted]
    return {
        "majority_accuracy": float((predicted == counts.argmax(axis=1))[clear].mean()) if clear.any() else None,
        "kl": float(divergence.sum(axis=1).mean()),
        "ece": expected_calibration_error(probabilities.max(axis=1), agreement),
        "reliability": reliability(probabilities.max(axis=1), agreement),
        "n": int(rows.sum()),
        "n_majority": int(clear.sum()),
    }


def annotator_metrics(
    labels: NDArray[np.int64], votes: NDArray[np.float32], names: tuple[str, ...]
) -> dict[str, float | None] | None:
    """Agreement among FER+'s annotators, and of the labels with them; None without votes.

    `unanimous`: share of faces on which all votes for an emotion are for the same one; `mean_top_share`: mean share of
    the most voted emotion; `label_is_majority`: share of faces with a clear majority whose label is the same, None
    without a clear majority.
    """
    counts = _emotion_counts(votes, names)
    rows = counts.sum(axis=1) > 0
    if not rows.any():
        return None
    counts, labels = counts[rows], labels[rows]
    top = counts.max(axis=1) / counts.sum(axis=1)
    clear = counts.max(axis=1) > CLEAR_MAJORITY
    same = (counts.argmax(axis=1) == labels)[clear]
    return {
        "unanimous": float((top == 1).mean()),
        "mean_top_share": float(top.mean()),
        "label_is_majority": float(same.mean()) if clear.any() else None,
    }


def _emotion_counts(votes: NDArray[np.float32], names: tuple[str, ...]) -> NDArray[np.float32]:
    """Votes for the emotions in the order of `names`, (n, classes); 0 where a face has none."""
    counts = np.nan_to_num(votes[:, FERPLUS_COLUMNS])
    return counts if names == EMOTIONS else merge_disgust(counts)
