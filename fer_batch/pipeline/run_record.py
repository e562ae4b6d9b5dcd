"""Keeps run.json while a run goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from fer_batch.config import ResolvedConfig
from fer_batch.emotion.base import CropClassifier
from fer_batch.errors import UsageError
from fer_batch.pipeline.stats import Processed, closing_lines, count
from fer_batch.tables.ledger import Ledger
from fer_batch.tables.lock import FolderLock
from fer_batch.tables.run_file import keep_run_file, read_run_file, restore_run_file, write_run_file

log = logging.getLogger(__name__)


@dataclass
class RunRecord:
    """Writes how a run stands.

    Attributes:
        config: Of the run.
        lock: Held on its output folder.
        ledger: The media table.
        classifier: What classifies the crops.
        started: When the run began.
        paths: The paths of the files found, as the tables have them.
        skipped: How many of them were in the tables already.
        processed: What the run has processed so far.
    """

    config: ResolvedConfig
    lock: FolderLock
    ledger: Ledger
    classifier: CropClassifier
    started: datetime
    paths: pa.Array
    skipped: int
    processed: Processed = field(default_factory=Processed)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Have run.json say that the run is going on, and, where the block fails, how it ended."""
        before = keep_run_file(self.config.out)
        try:
            self._write("running")  # It stays where the run is killed.
            yield
        except UsageError:  # A model that does not fit shows before any row is written.
            restore_run_file(self.config.out, before)
            raise
        except BaseException as error:
            with suppress(OSError):  # A full disk must not hide what went wrong first.
                self.end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise

    def counts(self) -> dict[str, Any]:
        """The counts of run.json; see `stats.count`."""
        return count(self.paths, self.skipped, self.ledger, self.processed)

    def end(self, status: str) -> dict[str, Any]:
        """Write how the run ended, and say so. Returns the counts."""
        counts = self._write(status)
        seconds = (datetime.now(UTC) - self.started).total_seconds()
        for line in closing_lines(counts, seconds):
            log.info("%s", line, extra={"fields": {"counts": counts}})
        return counts

    def _write(self, status: str) -> dict[str, Any]:
        self.lock.check()
        counts, device = self.counts(), self.classifier.device_name
        write_run_file(self.config, status, self.started, counts, device, self.ledger.last_part)
        return counts


def report_killed_run(out: Path, ledger: Ledger) -> None:
    """Say so where the last run was killed: no other is at work here, for the folder is locked."""
    last = read_run_file(out)
    if last.get("status") == "running":
        started, files = last.get("started"), ledger.entries.num_rows
        log.warning("the run begun at %s was killed; going on after the %d files it left in the tables", started, files)
