"""Which task a worker gets next, and what becomes of what workers send: sections of long videos, second attempts."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from fer_batch.log import one_line
from fer_batch.pipeline.video_merger import VideoMerger
from fer_batch.pipeline.worker import ATTEMPTS_PER_TASK, Message
from fer_batch.records import (
    Code,
    Failure,
    FileResult,
    FrameChunk,
    Media,
    MediaInfo,
    Section,
    Stage,
    Task,
    VideoSections,
)
from fer_batch.runners.base import Outcome, TaskError

log = logging.getLogger(__name__)

IMAGES_PER_TASK = 16


def plan(media: Sequence[Media]) -> list[Task]:
    """The tasks of a run: each video by itself, the largest first so that none is left for last; images in batches."""
    videos = sorted((file for file in media if file.media_type == "video"), key=lambda file: -file.size_bytes)
    images = [file for file in media if file.media_type == "image"]
    batches = (images[start : start + IMAGES_PER_TASK] for start in range(0, len(images), IMAGES_PER_TASK))
    return [*(Task((video,)) for video in videos), *(Task(tuple(batch)) for batch in batches)]


class Scheduler:
    """The files of a run on their way through the workers.

    `next_task` may be called by another thread than `handle`.
    """

    def __init__(self, tasks: Iterable[Task], window: int) -> None:
        """Schedule tasks.

        Args:
            tasks: What is to be done.
            window: How many sections of one video may be in progress or wait for those before them; it bounds memory.
        """
        self._tasks = deque(tasks)
        #: Sections of videos that were begun: they go first, so that a video's rows need not wait for long.
        self._section_tasks = deque[Task]()
        self._window = window
        self._mergers: dict[str, VideoMerger] = {}
        self._sections: dict[str, VideoSections] = {}
        #: How many sections of a video have been scheduled.
        self._scheduled: dict[str, int] = {}
        self._outstanding = {media.path for task in self._tasks for media in task.media}

    def next_task(self) -> Task | None:
        """The next task for an idle worker; None where there is none at present."""
        try:
            return (self._section_tasks or self._tasks).popleft()
        except IndexError:
            return None

    def waiting(self) -> Iterator[Task]:
        """The tasks that no worker has been given."""
        return chain(self._section_tasks, self._tasks)

    def handle(self, outcome: Outcome[Task, Message]) -> Iterator[FrameChunk | FileResult]:
        """Yields what is ready to be classified, of each file in order.

        What a worker was lost at is scheduled once more, each file or section by itself, then given up.
        """
        message = outcome.result
        if message is None:
            yield from self._handle_lost(outcome)
        elif isinstance(message, VideoSections):
            self._add_sections(message)
        else:
            yield from self._add(message)

    def _add(self, message: FrameChunk | FileResult) -> Iterator[FrameChunk | FileResult]:
        path = message.media.path
        if path not in self._outstanding:  # Another section has failed the file.
            return
        is_video = message.media.media_type == "video"
        merger = self._mergers.setdefault(path, VideoMerger()) if is_video else None
        for ready in (message,) if merger is None else merger.add(message):
            if isinstance(ready, FileResult):
                self._outstanding.remove(path)
                self._mergers.pop(path, None)
                self._sections.pop(path, None)
            yield ready
        self._schedule_sections(path)

    def _add_sections(self, message: VideoSections) -> None:
        path = message.media.path
        if path in self._sections:  # The first section is read again.
            return
        self._mergers[path] = VideoMerger(len(message.sections))
        self._sections[path] = message
        self._scheduled[path] = 1
        self._schedule_sections(path)

    def _schedule_sections(self, path: str) -> None:
        """Schedule those that have come into the window, after the sections that are waiting already: out of their
        order, sections would wait for each other until no worker may go on."""
        if (video := self._sections.get(path)) is None:
            return
        end = self._mergers[path].next_section + self._window
        sections = video.sections[self._scheduled[path] : end]
        self._scheduled[path] += len(sections)
        self._section_tasks.extend(Task((video.media,), section) for section in sections)

    def _handle_lost(self, outcome: Outcome[Task, Message]) -> Iterator[FrameChunk | FileResult]:
        task = outcome.task
        for media in task.media:
            if media.path not in self._outstanding:
                continue
            if task.attempt > 1:
                yield from self._add(_given_up(media, outcome))
                continue
            log.warning("%s: %s; it is tried again, by itself", one_line(media.path), outcome.message)
            section = self._section(media, task)
            retry = Task((media,), section, task.attempt + ATTEMPTS_PER_TASK)
            if section is None:
                self._tasks.append(retry)
            else:  # For the next worker: the sections after it wait.
                self._section_tasks.appendleft(retry)

    def _section(self, media: Media, task: Task) -> Section | None:
        video = self._sections.get(media.path)
        return video.sections[0] if task.section is None and video is not None else task.section


def _given_up(media: Media, outcome: Outcome[Task, Message]) -> FileResult:
    code = Code.TIMEOUT if outcome.error is TaskError.TIMEOUT else Code.WORKER_DIED
    failure = Failure(Stage.WORK, code, one_line(f"{media.path}: {outcome.message}"))
    return FileResult(media, MediaInfo(), failure, 0.0, unusable=True)
