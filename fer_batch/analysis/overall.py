"""The summary of all files together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fer_batch.analysis.groups import Groups, Keys, Part, averaged_columns, means_of, summary_columns, summary_schema
from fer_batch.analysis.label_shift import PosteriorHistogram
from fer_batch.analysis.pooling import Pool
from fer_batch.share_correction import ShareCorrection

_COUNTS: Keys = [("media_done", pa.int64()), ("media_failed", pa.int64())]


class Overall:
    """One row for a whole output folder. The memory needed does not grow with the number of images."""

    def __init__(self, labels: tuple[str, ...], correction: ShareCorrection | None) -> None:
        self._labels, self._correction, self._histogram = labels, correction, PosteriorHistogram(len(labels))
        self._pools = {name: Pool() for name in averaged_columns(labels)}
        self._emotions = np.zeros((1, len(labels)), np.int64)
        self._frames = 0
        self._counts = {"media_done": 0, "media_failed": 0}

    def count(self, part: Part, files: Groups) -> None:
        """Add the counts of a part. `files`: its rows grouped by file. Counts do not depend on the order."""
        self._emotions += files.emotions.sum(axis=0, keepdims=True)
        if files.posteriors is not None:
            self._histogram.add(files.posteriors)
        self._frames += len(part.frames)
        for status in ("done", "failed"):
            self._counts[f"media_{status}"] += int((part.media["status"] == status).sum())

    def pool(self, files: pa.Table) -> None:
        """Add the means of files, rows of `Groups.table_and_means`. These are floats: to get the same sums, the same
        rows must come in the same order and the same slices."""
        for name, means in means_of(files, self._labels).items():
            self._pools[name].add(means)

    def table(self) -> pa.Table:
        """The row of the table overall."""
        means = {name: pool.mean() for name, pool in self._pools.items()}
        adjusted = np.full(self._emotions.shape, np.nan)
        if self._correction is not None:
            adjusted = self._histogram.adjusted_shares(self._correction)
        columns = summary_columns(np.array([self._frames]), means, self._emotions, adjusted)
        counts = {name: [value] for name, value in self._counts.items()}
        return pa.Table.from_pydict({**counts, **columns}, overall_schema(self._labels))


def overall_schema(labels: tuple[str, ...]) -> pa.Schema:
    """The columns of overall."""
    return summary_schema(labels, _COUNTS)
