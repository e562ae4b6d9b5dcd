"""The one orchestrator: discover, plan, have workers prepare, classify, write, summarize."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
from tqdm import tqdm

from fer_batch.config import RunConfig, UsageError
from fer_batch.detectors import create_detector
from fer_batch.ledger import Ledger, check_folder, clear_folder
from fer_batch.lock import FolderLock
from fer_batch.records import Code, Failure, Media, MediaInfo, Prepared, Stage, Unit
from fer_batch.runfile import read_run_file, write_run_file
from fer_batch.runners.base import Loss, Outcome
from fer_batch.runners.local import LocalRunner
from fer_batch.schema import Scored, to_tables
from fer_batch.stages import summarize
from fer_batch.stages.classify import Classifier
from fer_batch.stages.discover import discover, outside, roots
from fer_batch.tables import TABLES
from fer_batch.work import NO_CROPS, Settings, make_worker

log = logging.getLogger(__name__)

IMAGES_PER_UNIT = 16
#: Batches of crops gathered before the classifier is called, so that it sees full ones.
_BATCHES_PER_CALL = 4
#: Rows of faces after which a part is committed, whatever the time.
_ROWS_PER_PART = 200_000


@dataclass
class Processed:
    """What this run has gone through so far. `media_seconds`: seconds of video."""

    files: int = 0
    failed: int = 0
    frames: int = 0
    faces: int = 0
    media_seconds: float = 0.0

    def add(self, prepared: Prepared) -> None:
        """Count one file."""
        self.files += 1
        self.failed += prepared.failed
        self.frames += len(prepared.frames)
        self.faces += len(prepared.crops)
        self.media_seconds += 0.0 if prepared.failed else prepared.info.duration_s or 0.0


def run(config: RunConfig) -> bool:
    """Carry out a run. Returns whether every file found is done; False where some have failed.

    Raises UsageError before anything is touched, and KeyboardInterrupt after what was finished has been committed.
    """
    create_detector(config.detector)  # One that can't be loaded is the user's to mend, not each worker's to stumble on.
    _check_place(config)
    with FolderLock(config.out) as lock:
        return _run(config, lock)


def _run(config: RunConfig, lock: FolderLock) -> bool:
    started = datetime.now(UTC)
    found = discover(config.inputs, config.include, config.exclude, config.follow_symlinks)
    classifier = Classifier(config.model_folder, config.labels, config.batch_size, config.device)
    if config.restart:
        classifier.load()  # Earlier results go only once it is sure that new ones can be made.
        clear_folder(config.out)
    check_folder(config.out, config.results(), roots(config.inputs))
    ledger = Ledger(config.out, lock)
    outstanding = ledger.outstanding(found, config.retry_failed)
    if not outstanding and _is_complete(config, ledger):
        log.info("nothing to do: all %d files are in %s", len(found), config.out)
        return not any(ledger.entries[media.path].failed for media in found)
    done = Processed()

    def write_end(status: str) -> dict[str, float]:
        lock.check()
        counts = _counts(found, ledger, done)
        write_run_file(config, status, started, counts, classifier.device_name, ledger.last_part)
        return counts

    try:
        _process(config, ledger, outstanding, done, classifier)
        if not ledger.last_part:  # A run that found nothing leaves empty tables, not none.
            ledger.commit(to_tables([], config.labels), config.results(), roots(config.inputs))
        lock.check()
        summarize.summarize(config.out, config.window)
    except UsageError:  # A model that does not fit shows before anything is written.
        raise
    except BaseException as error:
        with suppress(OSError):  # A full disk must not hide what went wrong first.
            write_end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    counts = write_end("done")
    if counts["discovered"] != counts["done"] + counts["failed"]:
        raise AssertionError(f"counts do not add up: {counts}")
    log.info(
        "%d files done, %d failed, of them %d in this run, with %d faces; tables in %s",
        counts["done"],
        counts["failed"],
        done.files,
        done.faces,
        config.out,
    )
    if counts["absent"]:
        log.warning("%d files of earlier runs were not found again; their rows stay", counts["absent"])
    return counts["failed"] == 0


def _check_place(config: RunConfig) -> None:
    """Raise UsageError where the run would write among what it reads."""
    for directory in (config.out, *(config.out / table for table in TABLES)):
        if not outside(directory, config.inputs):
            raise UsageError(f"--out {config.out}: {directory} lies inside an input; choose a folder outside of them")


def _is_complete(config: RunConfig, ledger: Ledger) -> bool:
    """Whether the last run ended after the last part, with the summaries that are wanted now."""
    last = read_run_file(config.out)
    same_window = last.get("configuration", {}).get("window") == config.window
    up_to_date = last.get("status") == "done" and last.get("last_part") == ledger.last_part
    return up_to_date and same_window and summarize.has_summaries(config.out)


def _counts(found: Sequence[Media], ledger: Ledger, done: Processed) -> dict[str, float]:
    """Files found, by what the tables say of them, and what this run went through. `absent`: files of earlier runs
    that are no longer found; their rows stay."""
    entries = [ledger.entries[media.path] for media in found if media.path in ledger.entries]
    failed = sum(entry.failed for entry in entries)
    return {
        "discovered": len(found),
        "done": len(entries) - failed,
        "failed": failed,
        "absent": len(ledger.entries) - len(entries),
        "processed": done.files,
        "processed_frames": done.frames,
        "processed_faces": done.faces,
        "processed_media_seconds": round(done.media_seconds, 3),
    }


def plan(media: Sequence[Media]) -> list[Unit]:
    """Units of work: each video by itself, the largest first so that none is left for last; images in buckets."""
    videos = sorted((one for one in media if one.media_type == "video"), key=lambda one: -one.size_bytes)
    images = [one for one in media if one.media_type == "image"]
    buckets = (images[start : start + IMAGES_PER_UNIT] for start in range(0, len(images), IMAGES_PER_UNIT))
    return [Unit((video,)) for video in videos] + [Unit(tuple(bucket)) for bucket in buckets]


def _process(
    config: RunConfig, ledger: Ledger, media: Sequence[Media], done: Processed, classifier: Classifier
) -> None:
    """Prepare, classify and commit all of `media`; what is classified is committed even when interrupted."""
    committer = _Committer(config, ledger, classifier)
    bar = tqdm(total=len(media), unit="file", disable=None if config.progress else True)
    try:
        with bar:
            for prepared in _prepared(config, media):
                done.add(prepared)
                bar.set_postfix_str(f"{done.media_seconds:.0f} s of video, {done.failed} failed", refresh=False)
                bar.update()
                if prepared.failure is not None:
                    log.warning("%s [%s]", prepared.failure.message, prepared.failure.code.value)
                committer.add(prepared)
            committer.classify()
    finally:
        committer.commit()


def _prepared(config: RunConfig, media: Sequence[Media]) -> Iterator[Prepared]:
    """Every file prepared by a worker. What a worker died or hung on is tried once more by itself, then given up."""
    units = plan(media)
    if not units:
        return
    workers = max(1, min(config.workers, len(units)))
    settings = Settings(config.sampling, config.detector)
    runner = LocalRunner[Unit, tuple[Prepared, ...]](partial(make_worker, settings), workers, config.timeout)
    suspects: list[Unit] = []
    for outcome in runner.run(units):
        if outcome.result is None:
            suspects += [Unit((one,)) for one in outcome.task.media]
        else:
            yield from outcome.result
    if not suspects:
        return
    log.warning("%d files are tried once more, each by itself: a worker died or hung", len(suspects))
    for outcome in runner.run(suspects):
        yield from outcome.result if outcome.result is not None else (_quarantined(outcome),)


def _quarantined(outcome: Outcome[Unit, tuple[Prepared, ...]]) -> Prepared:
    (media,) = outcome.task.media
    code = Code.TIMEOUT if outcome.loss is Loss.TIMEOUT else Code.WORKER_DIED
    failure = Failure(Stage.WORK, code, f"{media.path}: {outcome.message}")
    return Prepared(media, MediaInfo(), (), NO_CROPS, failure, 0.0)


class _Committer:
    """Gathers prepared files, classifies their crops in full batches and commits them part by part."""

    def __init__(self, config: RunConfig, ledger: Ledger, classifier: Classifier) -> None:
        self._config, self._ledger, self._classifier = config, ledger, classifier
        self._origin = config.results(), roots(config.inputs)
        self._waiting: list[Prepared] = []
        self._scored: list[Scored] = []
        self._started = self._committed = time.monotonic()

    def add(self, prepared: Prepared) -> None:
        """Take in one file; classify and commit when there is enough, or it has been long enough."""
        self._classifier.load()  # Workers are under way; a model that does not fit shows before anything is written.
        self._waiting.append(prepared)
        due = self._is_due()
        crops = sum(len(one.crops) for one in self._waiting)
        if due or crops >= _BATCHES_PER_CALL * self._config.batch_size:
            self.classify()
        if due or sum(len(one.prepared.crops) for one in self._scored) >= _ROWS_PER_PART:
            self.commit()

    def _is_due(self) -> bool:
        """A part every few seconds at first, every minute in a long run: little is lost, and parts stay few."""
        now = time.monotonic()
        return now - self._committed >= min(60.0, max(2.0, (now - self._started) / 60))

    def classify(self) -> None:
        """Score all files that wait for it."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        probabilities = self._classifier(np.concatenate([one.crops for one in waiting]))
        ends = np.cumsum([len(one.crops) for one in waiting])[:-1]
        self._scored += [Scored(*pair) for pair in zip(waiting, np.split(probabilities, ends), strict=True)]

    def commit(self) -> None:
        """Write what has been scored as one part of every table."""
        # Let go of first: interrupted in the middle, this must not be tried again and leave rows twice.
        scored, self._scored = self._scored, []
        if scored:
            self._ledger.commit(to_tables(scored, self._config.labels), *self._origin)
        self._committed = time.monotonic()
