"""Classify the crops of all files in full batches, and commit the rows of finished files part by part."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from fer_batch.config import ResolvedConfig
from fer_batch.emotion.base import CropClassifier
from fer_batch.pipeline.chunks import NO_CROPS
from fer_batch.records import FileResult, FrameChunk
from fer_batch.tables.commit import Provenance
from fer_batch.tables.ledger import Ledger
from fer_batch.tables.schema import ClassifiedChunk, ClassifiedFile, chunk_tables, to_tables

log = logging.getLogger(__name__)

#: Batches of crops gathered before the classifier is called, so that it gets full ones.
_BATCHES_PER_CALL = 4
#: Rows after which a part is committed, whatever the time.
_ROWS_PER_PART = 200_000


@dataclass
class _UnfinishedFile:
    """What has been classified of one attempt at a file whose result has not come: chunks, and earlier ones as rows."""

    attempt: int
    chunks: list[ClassifiedChunk] = field(default_factory=list)
    tables: list[Mapping[str, pa.Table]] = field(default_factory=list)


class PartWriter:
    """Takes the messages of a run. No row of a file is written before its last: no reader sees half a file."""

    def __init__(
        self, config: ResolvedConfig, ledger: Ledger, classifier: CropClassifier, provenance: Provenance
    ) -> None:
        self._config, self._ledger, self._classifier = config, ledger, classifier
        self._provenance = provenance
        #: Messages that wait for the classifier.
        self._waiting: list[FrameChunk | FileResult] = []
        self._unfinished: dict[str, _UnfinishedFile] = {}
        self._finished: list[ClassifiedFile] = []
        #: Rows of `_finished` that were made before the file was.
        self._tables: list[Mapping[str, pa.Table]] = []
        self._rows = 0
        self._started = self._committed = time.monotonic()

    def add(self, message: FrameChunk | FileResult) -> None:
        """Take a message; classify and commit when there is enough, or it has been long enough."""
        self._waiting.append(message)
        due = self._is_due()
        crops = sum(len(waiting.crops) for waiting in self._waiting if isinstance(waiting, FrameChunk))
        any_finished = any(isinstance(waiting, FileResult) for waiting in self._waiting)
        if (due and any_finished) or crops >= _BATCHES_PER_CALL * self._config.batch_size:
            self.classify()
        if due or self._rows >= _ROWS_PER_PART:
            self.commit()

    def _is_due(self) -> bool:
        """A part every few seconds at first, every minute in a long run: little is lost, and parts stay few."""
        now = time.monotonic()
        return now - self._committed >= min(60.0, max(2.0, (now - self._started) / 60))

    def classify(self) -> None:
        """Classify all chunks that wait for it. Crops are let go of here."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        chunks = [message for message in waiting if isinstance(message, FrameChunk)]
        probabilities = self._classifier(np.concatenate([NO_CROPS, *(chunk.crops for chunk in chunks)]))
        start = 0
        for message in waiting:
            if isinstance(message, FileResult):
                self._finish(message)
                continue
            end = start + len(message.crops)
            self._add_classified(ClassifiedChunk(replace(message, crops=NO_CROPS), probabilities[start:end]))
            start = end
        for file in self._unfinished.values():  # Rows take a tenth of the memory.
            if file.chunks:
                file.tables.append(chunk_tables(file.chunks, self._config.labels))
                file.chunks.clear()

    def _add_classified(self, classified: ClassifiedChunk) -> None:
        chunk = classified.chunk
        file = self._unfinished.get(chunk.media.path)
        if file is None or file.attempt != chunk.attempt:  # What an earlier attempt sent is void.
            file = self._unfinished[chunk.media.path] = _UnfinishedFile(chunk.attempt)
        file.chunks.append(classified)

    def _finish(self, result: FileResult) -> None:
        file = self._unfinished.pop(result.media.path, None)
        if file is None or file.attempt != result.attempt or result.unusable:
            file = _UnfinishedFile(result.attempt)
        self._finished.append(ClassifiedFile(result, tuple(file.chunks)))
        self._tables += file.tables
        self._rows += result.frames_sampled + result.faces_found

    def commit(self) -> None:
        """Write what has been classified as one part of every table."""
        # Let go of first: interrupted in the middle, this must not be tried again and leave rows twice.
        finished, self._finished, tables, self._tables, self._rows = self._finished, [], self._tables, [], 0
        if finished:
            self._ledger.commit(to_tables(finished, self._config.labels, tables), *self._provenance)
            self._ledger.digests.add((file.result.media.path, file.result.info.digest) for file in finished)
            log.debug("part %d: %d files are in the tables", self._ledger.last_part, self._ledger.entries.num_rows)
        self._committed = time.monotonic()
