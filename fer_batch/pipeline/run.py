"""The one orchestrator: discover, plan, have workers read the files, classify, write, summarize, report."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from fer_batch.analysis import summarize
from fer_batch.config import ResolvedConfig
from fer_batch.detection import create_detector
from fer_batch.emotion.base import CropClassifier
from fer_batch.errors import UsageError
from fer_batch.pipeline import studies
from fer_batch.pipeline.discover import Discovery, input_prefixes, outside, survey
from fer_batch.pipeline.engine import create_classifier, create_runner
from fer_batch.pipeline.part_writer import PartWriter
from fer_batch.pipeline.progress import Progress
from fer_batch.pipeline.run_record import RunRecord, report_killed_run
from fer_batch.pipeline.scheduler import Scheduler, plan
from fer_batch.pipeline.stats import Processed, assert_complete, closing_lines, count
from fer_batch.pipeline.worker import Message
from fer_batch.records import FileResult, FrameChunk, Media, Task
from fer_batch.report import build as report
from fer_batch.runners.base import Runner
from fer_batch.tables.commit import Provenance
from fer_batch.tables.layout import TABLES
from fer_batch.tables.ledger import Ledger, clear_folder
from fer_batch.tables.lock import FolderLock, lock_folder
from fer_batch.tables.run_file import read_run_file
from fer_batch.tables.schema import to_tables

log = logging.getLogger(__name__)


def run(
    config: ResolvedConfig, runner: Runner[Task, Message] | None = None, classifier: CropClassifier | None = None
) -> bool:
    """Carry out a run.

    Args:
        config: All that the run needs to know.
        runner: What has the workers; by default the one that `config` asks for.
        classifier: What classifies the crops; by default the one that `config` asks for.

    Returns:
        Whether every file found is done; False where some have failed.

    Raises:
        UsageError: Before anything is touched.
        WorkerStartError: Workers can't be started; what was finished has been committed.
        KeyboardInterrupt: After what was finished has been committed.
    """
    create_detector(config.detector)  # Where it can't be loaded, the user is told once, and not by each worker.
    check_out(config)
    studies.check_files(config)
    started = datetime.now(UTC)
    discovery = survey(config.inputs, config.include, config.exclude, config.follow_symlinks, config.all_files)
    report_left_out(config, discovery)
    with lock_folder(config.out) as lock:
        runner, classifier = runner or create_runner(config), classifier or create_classifier(config)
        return _run(config, lock, discovery.media, started, runner, classifier)


def _run(
    config: ResolvedConfig,
    lock: FolderLock,
    found: list[Media],
    started: datetime,
    runner: Runner[Task, Message],
    classifier: CropClassifier,
) -> bool:
    if config.restart:
        studies.check_media(config, found)
        classifier.load()  # Earlier results go only once it is sure that new ones can be made.
        clear_folder(config.out)
    ledger = Ledger(config.out, lock)
    ledger.check(config.result_settings(), input_prefixes(config.inputs))
    studies.check_media(config, found, ledger.entries["media_path"])
    ledger.clean_up()
    outstanding = ledger.outstanding(found, config.retry_failed)
    tasks, skipped = plan(outstanding), len(found) - len(outstanding)
    # From here on only the tasks know of files, and fewer and fewer of them: there may be millions.
    paths = pa.array((media.path for media in found), pa.string())
    del outstanding
    found.clear()
    if not tasks and _is_complete(config, ledger):
        return _end_unchanged(config, count(paths, skipped, ledger, Processed()))
    report_killed_run(config.out, ledger)
    record = RunRecord(config, lock, ledger, classifier, started, paths, skipped)
    with record.kept():
        _process(config, ledger, tasks, record.processed, runner, classifier)
        if not ledger.last_part:  # A run that found nothing leaves empty tables, not none.
            ledger.commit(to_tables([], config.labels), *_provenance(config))
        lock.check()
        summarize.summarize(config.out, config.window)
        assert_complete(record.counts())
    counts = record.end("done")
    study = studies.make(config)
    report.remove(config.out)  # One of fewer rows must not pass for this run's, nor hide that this run's is missing.
    if config.report:
        report.report(config.out)
    if counts["absent"]:
        log.warning("%d files of earlier runs were not found again; their rows stay", counts["absent"])
    log.info("tables in %s", config.out)
    return not counts["failed"] and study is not studies.Outcome.REFUSED


def _end_unchanged(config: ResolvedConfig, counts: dict[str, Any]) -> bool:
    study = studies.make(config)
    # Of a run without a report, or without this study.
    if config.report and (study is studies.Outcome.MADE or not report.has_report(config.out)):
        report.report(config.out)
    assert_complete(counts)
    log.info("nothing to do; %s; tables in %s", closing_lines(counts, 1.0)[0], config.out)
    return not counts["failed"] and study is not studies.Outcome.REFUSED


def report_left_out(config: ResolvedConfig, discovery: Discovery) -> None:
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


def _provenance(config: ResolvedConfig) -> Provenance:
    return Provenance(config.result_settings(), input_prefixes(config.inputs), config.model.share_correction)


def check_out(config: ResolvedConfig) -> None:
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


def _process(
    config: ResolvedConfig,
    ledger: Ledger,
    tasks: list[Task],
    processed: Processed,
    runner: Runner[Task, Message],
    classifier: CropClassifier,
) -> None:
    """Read, classify and commit the files of all tasks; what is classified is committed even when interrupted."""
    writer = PartWriter(config, ledger, classifier, _provenance(config))
    # Twice as many sections as workers, and one: while some wait to be merged, every worker has one to read.
    scheduler = Scheduler(tasks, 2 * config.workers + 1)
    try:
        with Progress([media for task in tasks for media in task.media], config.progress) as progress:
            for message in _messages(scheduler, runner, classifier):
                if isinstance(message, FileResult):
                    processed.add(message)
                    _report_failure(message)
                progress.advance(message, processed)
                writer.add(message)
            writer.classify()
    finally:
        writer.commit()
        ledger.save_digests()


def _messages(
    scheduler: Scheduler, runner: Runner[Task, Message], classifier: CropClassifier
) -> Iterator[FrameChunk | FileResult]:
    """What workers make of all files, those of one file in order."""
    with closing(runner.run(scheduler.next_task)) as outcomes:
        for outcome in outcomes:
            # While workers read the first files, and before anything is written, for the model may not fit.
            classifier.load()
            yield from scheduler.handle(outcome)


def _report_failure(result: FileResult) -> None:
    if (failure := result.failure) is not None:
        fields = {"media_path": result.media.path, "error_stage": failure.stage, "error_code": failure.code}
        log.warning("%s [%s]", failure.message, failure.code.value, extra={"fields": fields})
