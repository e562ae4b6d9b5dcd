"""Training targets: one block of soft labels for each head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.emotion.model_folder import HEADS
from fer_batch.emotions import EMOTIONS, merge_disgust
from fer_batch.errors import DatasetError
from fer_batch.training.emotion.dataset import FERPLUS_COLUMNS, Faces
from fer_batch.training.emotion.recipe import Recipe

Shares = NDArray[np.float32]


def available_heads(faces: Faces, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The wanted heads, or all that the data has targets for where none is named. Raises DatasetError."""
    votes = bool(np.isfinite(faces.votes[faces.usages == "Training"]).any())
    possible = HEADS if votes else tuple(head for head in HEADS if head != "ferplus")
    if not set(wanted) <= set(possible):
        raise DatasetError(
            "recipe: head ferplus needs faces with FER+'s votes (a column ferplus_votes); there are none"
        )
    return wanted or possible


def plain_targets(faces: Faces, recipe: Recipe) -> dict[str, Shares]:
    """Soft labels by head, float32 (n, classes) each, as the data has them.

    A row of `ferplus` sums to the share of annotators who named one of the emotions, so that faces have less weight
    where annotators saw something else; without votes it is zero.
    """
    targets = {"fer2013": np.eye(len(EMOTIONS), dtype=np.float32)[faces.labels], "ferplus": _vote_shares(faces)}
    return {
        head: merge_disgust(t) if recipe.merge_disgust else t for head, t in targets.items() if head in recipe.heads
    }


def training_targets(faces: Faces, recipe: Recipe) -> Shares:
    """The heads' soft labels side by side, float32 (n, heads x classes), FER2013's smoothed (see `Recipe`)."""
    targets = plain_targets(faces, recipe)
    if "fer2013" in targets:
        labels, share = targets["fer2013"], recipe.label_smoothing
        shares = _vote_shares(faces)
        expected = expected_labels(merge_disgust(shares) if recipe.merge_disgust else shares, labels)
        targets["fer2013"] = (1 - share) * labels + share * expected
    return np.concatenate([targets[head] for head in recipe.heads], axis=1)


def expected_labels(shares: Shares, labels: Shares) -> Shares:
    """FER2013's label as FER+'s votes predict it: the vote shares times P(label | an annotator's vote).

    The conditional probabilities are estimated on the same faces with add-one smoothing; faces without votes get a
    uniform distribution. So label smoothing favours the classes that a label is really confused with.

    Args:
        shares: Vote shares, (n, classes).
        labels: One-hot labels, (n, classes).

    Returns:
        float32 (n, classes); rows sum to 1.
    """
    counts = shares.T @ labels + 1.0
    sums = shares.sum(axis=1, keepdims=True)
    normalized = np.where(sums > 0, shares / np.maximum(sums, 1e-6), 1 / shares.shape[1])
    return np.asarray(normalized @ (counts / counts.sum(axis=1, keepdims=True)), np.float32)


def _vote_shares(faces: Faces) -> Shares:
    total = np.maximum(np.nan_to_num(faces.votes).sum(axis=1, keepdims=True), 1)
    return np.asarray(np.nan_to_num(faces.votes[:, FERPLUS_COLUMNS]) / total, np.float32)
