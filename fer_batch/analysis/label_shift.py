"""Shares of faces by most probable emotion, corrected for the confusions of the classifier.

Counting most probable emotions favours the classes that were frequent in the training data. Saerens, Latinne &
Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities", find the shares of maximum
likelihood given the posteriors, by expectation maximization. The model was trained on the shares of annotators, so the
method needs two parameters, both fitted on faces held out from training (see `ShareCorrection`):

- An exponent. The correction applies to posteriors of a single true class. The tables hold the share of annotators who
  would choose an emotion; the probability that it is the majority's choice is more extreme, by a power. Without it the
  error hardly falls.
- The prior: the mean of those posteriors (Alexandari, Kundaje & Shrikumar 2020, "Maximum likelihood with
  bias-corrected calibration is hard-to-beat at label shift adaptation"), so that their remaining bias cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.share_correction import Floats, ShareCorrection

#: Minimum number of faces for corrected shares: fewer cannot distinguish another mix from chance.
MIN_FACES = 30
_MAX_ITERATIONS, _TOLERANCE = 100, 1e-6
#: Faces of small groups that are processed together: they fit into a processor's cache.
_BATCH_FACES = 32768
#: Bins of the square root of a class's probability, and the unit of a bin's integer sums.
_LEVELS, _UNIT = 12, 2.0**-24


def adjusted_shares(posteriors: Floats, starts: NDArray[np.int64], correction: ShareCorrection) -> NDArray[np.float64]:
    """Corrected shares of consecutive groups of faces.

    Args:
        posteriors: See `ShareCorrection.posteriors`, (faces, labels).
        starts: Index of the first face of each group, (groups,). A group may be empty.
        correction: The parameters of the model that gave the probabilities.

    Returns:
        (groups, labels), each row summing to 1; NaN where a group has fewer than `MIN_FACES`.
    """
    evidence = (posteriors / correction.prior).astype(np.float32)
    lengths = np.diff(np.append(starts, len(posteriors)))
    shares = np.full((len(starts), posteriors.shape[1]), np.nan)
    order = np.argsort(lengths, kind="stable")  # Groups of similar length need little padding in a batch.
    order = order[lengths[order] >= MIN_FACES]
    while len(order):
        most = max(1, int(np.searchsorted(np.arange(1, len(order) + 1) * lengths[order], _BATCH_FACES)))
        rows, order = order[:most], order[most:]
        within = np.arange(lengths[rows[-1]])
        present = within < lengths[rows, None]
        faces = np.where(present, starts[rows, None] + within, 0)
        shares[rows] = _most_likely(evidence[faces], present.astype(np.float32), correction)
    return shares


class PosteriorHistogram:
    """Any number of faces in bounded memory: of faces with similar posteriors, their number and sum are kept.

    Sums are integers, so they do not depend on the order of the faces.
    """

    def __init__(self, labels: int) -> None:
        self._keys = np.empty(0, np.int64)
        self._sums = np.empty((0, labels + 1), np.int64)

    def add(self, posteriors: Floats) -> None:
        """Add faces. `posteriors`: (faces, labels)."""
        levels = np.minimum((np.sqrt(posteriors) * _LEVELS).astype(np.int64), _LEVELS - 1)
        keys = levels @ _LEVELS ** np.arange(posteriors.shape[1], dtype=np.int64)
        counted = np.rint(posteriors / _UNIT).astype(np.int64)
        sums = np.column_stack([counted, np.ones(len(counted), np.int64)])
        keys, sums = np.append(self._keys, keys), np.concatenate([self._sums, sums])
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        self._keys, self._sums = keys[order][starts], np.add.reduceat(sums[order], starts) if len(starts) else sums

    def adjusted_shares(self, correction: ShareCorrection) -> NDArray[np.float64]:
        """The corrected shares of all faces, (1, labels); see the function `adjusted_shares`."""
        counts = self._sums[:, -1]
        if counts.sum() < MIN_FACES:
            return np.full((1, self._sums.shape[1] - 1), np.nan)
        means = self._sums[:, :-1] * _UNIT / counts[:, None]
        return _most_likely((means / correction.prior).astype(np.float32)[None], counts[None], correction)


def _most_likely(
    evidence: NDArray[np.float32], counts: NDArray[np.number], correction: ShareCorrection
) -> NDArray[np.float64]:
    """The shares of maximum likelihood of each group, (groups, labels). `evidence`: posteriors divided by priors,
    (groups, rows, labels); `counts`: faces per row, (groups, rows)."""
    shares = np.tile(np.asarray(correction.prior, np.float64), (len(counts), 1))
    total = counts.sum(axis=1, keepdims=True)
    for _ in range(_MAX_ITERATIONS):
        likely = np.maximum(evidence @ shares.astype(np.float32)[:, :, None], np.float32(1e-30))[:, :, 0]
        weights = (counts / likely).astype(np.float32)
        moved = shares * (weights[:, None, :] @ evidence)[:, 0, :] / total
        moved /= moved.sum(axis=1, keepdims=True)
        moving = np.abs(moved - shares).max(axis=1, keepdims=True) >= _TOLERANCE
        shares = np.where(moving, moved, shares)  # A converged group must not depend on the others in its batch.
        if not moving.any():
            break
    return shares
