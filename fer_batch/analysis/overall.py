"""The figures of all files together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fer_batch.analysis.groups import Groups, Keys, Part, averaged, figures, figures_schema, means_of
from fer_batch.analysis.label_shift import FaceCells
from fer_batch.analysis.pooling import Pool
from fer_batch.share_correction import ShareCorrection

_COUNTS: Keys = [("media_done", pa.int64()), ("media_failed", pa.int64())]


class Overall:
    """One row for a whole folder of results. What is kept does not grow with the number of pictures."""

    def __init__(self, labels: tuple[str, ...], correction: ShareCorrection | None) -> None:
        self._labels, self._correction, self._cells = labels, correction, FaceCells(len(labels))
        self._pools = {name: Pool() for name in averaged(labels)}
        self._emotions = np.zeros((1, len(labels)), np.int64)
        self._frames = 0
        self._counts = {"media_done": 0, "media_failed": 0}

    def count(self, part: Part, files: Groups) -> None:
        """Count a part, with its files as groups. The order of parts does not matter: these are whole numbers."""
        self._emotions += files.emotions.sum(axis=0, keepdims=True)
        if files.posteriors is not None:
            self._cells.add(files.posteriors)
        self._frames += len(part.frames)
        for status in ("done", "failed"):
            self._counts[f"media_{status}"] += int((part.media["status"] == status).sum())

    def pool(self, files: pa.Table) -> None:
        """Take in the means of files, a row of `Groups.table_and_means` each. These are fractions: the same rows have
        to come in the same order and in the same slices."""
        for name, means in means_of(files, self._labels).items():
            self._pools[name].add(means)

    def table(self) -> pa.Table:
        """The row; pictures and the shortest clips are draws of their own."""
        means = {name: pool.mean() for name, pool in self._pools.items()}
        adjusted = np.full(self._emotions.shape, np.nan)
        if self._correction is not None:
            adjusted = self._cells.adjusted_shares(self._correction)
        columns = figures(np.array([self._frames]), means, self._emotions, adjusted)
        counts = {name: [value] for name, value in self._counts.items()}
        return pa.Table.from_pydict({**counts, **columns}, overall_schema(self._labels))


def overall_schema(labels: tuple[str, ...]) -> pa.Schema:
    """The columns of overall."""
    return figures_schema(labels, _COUNTS)
