"""Shares of faces by most probable emotion, corrected for the confusions of the classifier.

Counting most probable emotions favours those that were frequent among the faces the classifier learnt from. Saerens,
Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori probabilities", find the shares
under which the posteriors are most likely, by expectation maximization. Two things it needs of a model that learnt the
shares of judges, both fitted on faces held out from training (see `ShareCorrection`):

- The correction holds for posteriors of a class that a face *has*. The tables say how many judges would name an
  emotion; which one most of them name is surer than that, by an exponent. Without it the error hardly falls.
- The prior is the mean of those posteriors (Alexandari, Kundaje & Shrikumar 2020, "Maximum likelihood with
  bias-corrected calibration is hard-to-beat at label shift adaptation"), so that what bias is left in them cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.share_correction import Floats, ShareCorrection

#: Faces below which no corrected shares are given: a few faces can't tell another mix from chance.
LEAST_FACES = 30
_ROUNDS, _SETTLED = 100, 1e-6
#: Faces of small groups that are worked on together: they fit into a processor's cache.
_FACES_AT_ONCE = 32768
#: Levels of a class's root probability that tell cells apart, and the unit in which a cell's sums are counted.
_LEVELS, _UNIT = 12, 2.0**-24


def adjusted_shares(posteriors: Floats, starts: NDArray[np.int64], correction: ShareCorrection) -> NDArray[np.float64]:
    """Corrected shares of groups of faces that lie one after the other, (groups, labels), each row summing to 1; NaN
    where a group has fewer than `LEAST_FACES`. `posteriors`: see `ShareCorrection`; `starts`: where groups begin; a
    group may be empty."""
    evidence = (posteriors / correction.prior).astype(np.float32)
    lengths = np.diff(np.append(starts, len(posteriors)))
    shares = np.full((len(starts), posteriors.shape[1]), np.nan)
    order = np.argsort(lengths, kind="stable")  # Groups of nearly one length fill a batch with little padding.
    order = order[lengths[order] >= LEAST_FACES]
    while len(order):
        most = max(1, int(np.searchsorted(np.arange(1, len(order) + 1) * lengths[order], _FACES_AT_ONCE)))
        rows, order = order[:most], order[most:]
        within = np.arange(lengths[rows[-1]])
        there = within < lengths[rows, None]
        faces = np.where(there, starts[rows, None] + within, 0)
        shares[rows] = _most_likely(evidence[faces], there.astype(np.float32), correction)
    return shares


class FaceCells:
    """Any number of faces in bounded memory: those with nearly the same posteriors are kept as their number and sum.

    Sums are whole numbers of a small unit, so the order in which faces come does not matter.
    """

    def __init__(self, labels: int) -> None:
        self._keys = np.empty(0, np.int64)
        self._sums = np.empty((0, labels + 1), np.int64)

    def add(self, posteriors: Floats) -> None:
        """Take in faces, (n, labels)."""
        levels = np.minimum((np.sqrt(posteriors) * _LEVELS).astype(np.int64), _LEVELS - 1)
        keys = levels @ _LEVELS ** np.arange(posteriors.shape[1], dtype=np.int64)
        counted = np.rint(posteriors / _UNIT).astype(np.int64)
        sums = np.column_stack([counted, np.ones(len(counted), np.int64)])
        keys, sums = np.append(self._keys, keys), np.concatenate([self._sums, sums])
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        self._keys, self._sums = keys[order][starts], np.add.reduceat(sums[order], starts) if len(starts) else sums

    def adjusted_shares(self, correction: ShareCorrection) -> NDArray[np.float64]:
        """Their corrected shares, as one row; see the function of that name."""
        counts = self._sums[:, -1]
        if counts.sum() < LEAST_FACES:
            return np.full((1, self._sums.shape[1] - 1), np.nan)
        means = self._sums[:, :-1] * _UNIT / counts[:, None]
        return _most_likely((means / correction.prior).astype(np.float32)[None], counts[None], correction)


def _most_likely(
    evidence: NDArray[np.float32], counts: NDArray[np.number], correction: ShareCorrection
) -> NDArray[np.float64]:
    """The shares under which the faces of each group are most likely, (groups, labels). `evidence`: posteriors over
    priors, (groups, rows, labels); `counts`: faces a row, (groups, rows)."""
    shares = np.tile(np.asarray(correction.prior, np.float64), (len(counts), 1))
    total = counts.sum(axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        likely = np.maximum(evidence @ shares.astype(np.float32)[:, :, None], np.float32(1e-30))[:, :, 0]
        weights = (counts / likely).astype(np.float32)
        moved = shares * (weights[:, None, :] @ evidence)[:, 0, :] / total
        moved /= moved.sum(axis=1, keepdims=True)
        moving = np.abs(moved - shares).max(axis=1, keepdims=True) >= _SETTLED
        shares = np.where(moving, moved, shares)  # What a group comes to must not depend on those beside it.
        if not moving.any():
            break
    return shares
