"""The one orchestrator: discover, plan, have workers prepare, classify, write, summarize, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fer_batch.analysis import summarize
from fer_batch.config import ResolvedConfig
from fer_batch.detection import create_detector
from fer_batch.emotion.classifier import Classifier
from fer_batch.errors import UsageError
from fer_batch.pipeline.classifier_pool import ClassifierPool
from fer_batch.pipeline.discover import Discovery, input_prefixes, outside, survey
from fer_batch.pipeline.progress import Progress
from fer_batch.pipeline.scheduler import Given, Preparation, Tasks
from fer_batch.pipeline.stats import Processed, assert_complete, closing_lines, count
from fer_batch.pipeline.worker import NO_CROPS, Settings, make_worker
from fer_batch.records import Media, Piece, Prepared, Unit
from fer_batch.report import build as report
from fer_batch.runners.base import Runner
from fer_batch.runners.local import LocalRunner
from fer_batch.runners.ray import RayRunner
from fer_batch.share_correction import ShareCorrection
from fer_batch.tables.layout import TABLES
from fer_batch.tables.ledger import Ledger, clear_folder
from fer_batch.tables.lock import FolderLock, StoreLock, hold
from fer_batch.tables.run_file import keep_run_file, put_back_run_file, read_run_file, write_run_file
from fer_batch.tables.schema import Scored, piece_tables, to_tables

log = logging.getLogger(__name__)

IMAGES_PER_UNIT = 16
#: Batches of crops gathered before the classifier is called, so that it sees full ones.
_BATCHES_PER_CALL = 4
#: Rows after which a part is committed, whatever the time.
_ROWS_PER_PART = 200_000


def run(config: ResolvedConfig) -> bool:
    """Carry out a run. Returns whether every file found is done; False where some have failed.

    Raises UsageError before anything is touched, and KeyboardInterrupt after what was finished has been committed.
    """
    create_detector(config.detector)  # One that can't be loaded is the user's to mend, not each worker's to stumble on.
    _check_place(config)
    started = datetime.now(UTC)
    discovery = survey(config.inputs, config.include, config.exclude, config.follow_symlinks, config.all_files)
    _report_left_out(config, discovery)
    with hold(config.out) as lock:
        return _run(config, lock, discovery.media, started)


def _run(config: ResolvedConfig, lock: FolderLock | StoreLock, found: list[Media], started: datetime) -> bool:
    make_classifier = partial(Classifier, config.model_folder, config.labels, config.batch_size, config.device)
    classifier = ClassifierPool(make_classifier, config) if config.classifiers else make_classifier()
    if config.restart:
        classifier.load()  # Earlier results go only once it is sure that new ones can be made.
        clear_folder(config.out)
    ledger = Ledger(config.out, lock)
    ledger.check(config.result_settings(), input_prefixes(config.inputs))
    ledger.tidy()
    outstanding = ledger.outstanding(found, config.retry_failed)
    tasks, skipped = plan(outstanding), len(found) - len(outstanding)
    # From here on only the tasks know of files, and fewer and fewer of them: there may be millions.
    paths = pa.array((media.path for media in found), pa.string())
    del outstanding
    found.clear()
    if not tasks and _is_complete(config, ledger):
        if config.report and not report.has_report(config.out):  # Of a run without one.
            report.report(config.out)
        counts = count(paths, skipped, ledger, Processed())
        assert_complete(counts)
        log.info("nothing to do; %s; tables in %s", closing_lines(counts, 1.0)[0], config.out)
        return not counts["failed"]
    done = Processed()
    before = keep_run_file(config.out)
    _tell_of_last(config.out, ledger)

    def note(status: str) -> dict[str, Any]:
        lock.check()
        counts = count(paths, skipped, ledger, done)
        write_run_file(config, status, started, counts, classifier.device_name, ledger.last_part)
        return counts

    def end(status: str) -> dict[str, Any]:
        counts = note(status)
        seconds = (datetime.now(UTC) - started).total_seconds()
        for line in closing_lines(counts, seconds):
            log.info("%s", line, extra={"fields": {"counts": counts}})
        return counts

    try:
        note("running")  # What a killed run leaves to tell of it.
        _process(config, ledger, tasks, done, classifier)
        if not ledger.last_part:  # A run that found nothing leaves empty tables, not none.
            ledger.commit(to_tables([], config.labels), *_origin(config))
        lock.check()
        summarize.summarize(config.out, config.window)
        assert_complete(count(paths, skipped, ledger, done))
    except UsageError:  # A model that does not fit shows before any row is written.
        put_back_run_file(config.out, before)
        raise
    except BaseException as error:
        with suppress(OSError):  # A full disk must not hide what went wrong first.
            end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    counts = end("done")
    report.remove(config.out)  # One of fewer rows must not pass for this run's, nor hide that this run's is missing.
    if config.report:
        report.report(config.out)
    if counts["absent"]:
        log.warning("%d files of earlier runs were not found again; their rows stay", counts["absent"])
    log.info("tables in %s", config.out)
    return not counts["failed"]


def _tell_of_last(out: Path, ledger: Ledger) -> None:
    """Say so where the last run was cut off: no other is at work here, for the folder is locked."""
    last = read_run_file(out)
    if last.get("status") == "running":
        begun, there = last.get("started"), ledger.entries.num_rows
        log.warning("the run begun at %s was killed; going on after the %d files it left in the tables", begun, there)


def _report_left_out(config: ResolvedConfig, discovery: Discovery) -> None:
    """Say what was found and not taken. Raises UsageError where a filter leaves nothing."""
    if discovery.side_files:
        kinds = ", ".join(f"{count} {kind}" for kind, count in discovery.side_files.most_common())
        log.info("%d side files left out (%s); --all-files takes them", discovery.side_files.total(), kinds)
    if discovery.media:
        for pattern in discovery.unmatched:
            log.warning("--include %s matches no file", pattern)
        return
    inputs = ", ".join(config.inputs)
    if config.include or config.exclude:
        raise UsageError(
            f"{inputs}: no media left; --include and --exclude leave out all {discovery.filtered} files there. "
            "Globs match the path below the input or the bare name; put them in quotes"
        )
    log.warning("%s: no images or videos found; the tables will be empty", inputs)


def _origin(config: ResolvedConfig) -> tuple[dict[str, Any], dict[str, str], ShareCorrection | None]:
    """What every part keeps beside its rows; see `commit_part`."""
    return config.result_settings(), input_prefixes(config.inputs), config.model.share_correction


def _check_place(config: ResolvedConfig) -> None:
    """Raise UsageError where the run would write among what it reads."""
    for directory in (config.out, *(config.out / table for table in TABLES)):
        if not outside(directory, config.inputs):
            raise UsageError(f"--out {config.out}: {directory} lies inside an input; choose a folder outside of them")


def _is_complete(config: ResolvedConfig, ledger: Ledger) -> bool:
    """Whether the last run ended after the last part, with the summaries that are wanted now."""
    last = read_run_file(config.out)
    same_window = last.get("configuration", {}).get("window") == config.window
    up_to_date = last.get("status") == "done" and last.get("last_part") == ledger.last_part
    return up_to_date and same_window and summarize.has_summaries(config.out)


def plan(media: Sequence[Media]) -> Tasks:
    """Units of work: each video by itself, the largest first so that none is left for last; images in buckets."""
    videos = sorted((one for one in media if one.media_type == "video"), key=lambda one: -one.size_bytes)
    images = [one for one in media if one.media_type == "image"]
    buckets = (images[start : start + IMAGES_PER_UNIT] for start in range(0, len(images), IMAGES_PER_UNIT))
    return Tasks([*(Unit((video,)) for video in videos), *(Unit(tuple(bucket)) for bucket in buckets)])


def _process(
    config: ResolvedConfig, ledger: Ledger, tasks: Tasks, done: Processed, classifier: Classifier | ClassifierPool
) -> None:
    """Prepare, classify and commit the files of all tasks; what is classified is committed even when interrupted."""
    committer = _Committer(config, ledger, classifier)
    try:
        with Progress([media for unit in tasks.waiting() for media in unit.media], config.progress) as progress:
            for prepared in _prepared(config, tasks, classifier.load):
                if isinstance(prepared, Prepared):
                    done.add(prepared)
                    _tell(prepared)
                progress.advance(prepared, done)
                committer.add(prepared)
            committer.classify()
    finally:
        committer.commit()
        ledger.digests.save()


def _tell(prepared: Prepared) -> None:
    if (failure := prepared.failure) is not None:
        fields = {"media_path": prepared.media.path, "error_stage": failure.stage, "error_code": failure.code}
        log.warning("%s [%s]", failure.message, failure.code.value, extra={"fields": fields})


def _prepared(config: ResolvedConfig, tasks: Tasks, load: Callable[[], object]) -> Iterator[Piece | Prepared]:
    """Every file prepared by workers, long ones in pieces, those of one file in order. `load`: loads the classifier,
    while workers are at the first files and before anything is written, for the model may not fit."""
    settings = Settings(config.sampling, config.detector)
    # No fewer workers than allowed, however few the files: a video may turn out to be work for all of them.
    workers = max(1, config.workers)
    runner: Runner[Unit, Given] = (
        RayRunner(partial(make_worker, settings), workers, config.timeout, config.ray_address)
        if config.engine == "ray"
        else LocalRunner[Unit, Given](partial(make_worker, settings), workers, config.timeout)
    )
    preparation = Preparation(tasks, 2 * workers + 1)
    while preparation.tasks:  # What comes up after the runner drew its last task is for another call.
        with closing(runner.run(preparation.tasks)) as outcomes:
            for outcome in outcomes:
                load()
                yield from preparation.take(outcome)


class _Committer:
    """Gathers prepared files, classifies their crops in full batches and commits them part by part."""

    def __init__(self, config: ResolvedConfig, ledger: Ledger, classifier: Classifier | ClassifierPool) -> None:
        self._config, self._ledger, self._classifier = config, ledger, classifier
        self._origin = _origin(config)
        self._waiting: list[Piece | Prepared] = []
        self._scored: list[Scored] = []
        #: The rows of pieces: of files that are still being read, by path, and of those in `_scored`.
        self._unfinished: dict[str, list[Mapping[str, pa.Table]]] = {}
        self._ahead: list[Mapping[str, pa.Table]] = []
        self._rows = 0
        self._started = self._committed = time.monotonic()

    def add(self, prepared: Piece | Prepared) -> None:
        """Take in a file or a piece of one; classify and commit when there is enough, or it has been long enough."""
        self._waiting.append(prepared)
        due = self._is_due()
        crops = sum(len(one.crops) for one in self._waiting)
        whole = any(isinstance(one, Prepared) for one in self._waiting)
        if (due and whole) or crops >= _BATCHES_PER_CALL * self._config.batch_size:
            self.classify()
        if due or self._rows >= _ROWS_PER_PART:
            self.commit()

    def _is_due(self) -> bool:
        """A part every few seconds at first, every minute in a long run: little is lost, and parts stay few."""
        now = time.monotonic()
        return now - self._committed >= min(60.0, max(2.0, (now - self._started) / 60))

    def classify(self) -> None:
        """Score all files that wait for it. Crops are let go of here; no rows of a file are written before its last."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        probabilities = self._classifier(np.concatenate([one.crops for one in waiting]))
        ends = np.cumsum([len(one.crops) for one in waiting])[:-1]
        for one, scores in zip(waiting, np.split(probabilities, ends), strict=True):
            scored = Scored(replace(one, crops=NO_CROPS), scores)
            before = self._unfinished.setdefault(one.media.path, [])
            if isinstance(one, Piece):
                before.append(piece_tables([scored], self._config.labels))
                continue
            del self._unfinished[one.media.path]
            self._scored.append(scored)
            self._ahead += before[len(before) - one.ahead.pieces :]
            self._rows += one.frames_sampled + one.faces_found

    def commit(self) -> None:
        """Write what has been scored as one part of every table."""
        # Let go of first: interrupted in the middle, this must not be tried again and leave rows twice.
        scored, self._scored, ahead, self._ahead, self._rows = self._scored, [], self._ahead, [], 0
        if scored:
            self._ledger.commit(to_tables(scored, self._config.labels, ahead), *self._origin)
            files = [one.prepared for one in scored if isinstance(one.prepared, Prepared)]
            self._ledger.digests.add((file.media.path, file.info.digest) for file in files)
            log.debug("part %d: %d files are in the tables", self._ledger.last_part, self._ledger.entries.num_rows)
        self._committed = time.monotonic()
