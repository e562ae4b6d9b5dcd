"""A worker with a stub for a detector, and what it makes of files."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fer_batch.config import DetectorConfig, ResolvedConfig, Sampling
from fer_batch.detection.base import CropRule
from fer_batch.log import one_line
from fer_batch.pipeline import worker as module
from fer_batch.pipeline.chunks import NO_CROPS
from fer_batch.pipeline.discover import discover
from fer_batch.pipeline.engine import create_runner
from fer_batch.pipeline.run import _messages
from fer_batch.pipeline.scheduler import Scheduler, plan
from fer_batch.pipeline.worker import Message, Settings, Worker
from fer_batch.records import (
    Detection,
    Failure,
    FileResult,
    FrameChunk,
    Media,
    MediaInfo,
    SampledFrame,
    Task,
    VideoSections,
)
from fer_batch.runners.base import Outcome, Runner, TaskError
from tests.helpers.clips import numbered


class Stub:
    """A detector that finds two faces in every frame, right one first; or fails as it is told."""

    crop_rule = CropRule(scale=1.0)
    needs_colour = False
    min_score = 0.5

    def __init__(
        self, error: BaseException | None = None, when: Callable[[NDArray[np.uint8]], bool] | None = None
    ) -> None:
        self.error, self.when = error, when or (lambda picture: True)

    def detect(self, picture: NDArray[np.uint8], min_face: float) -> Sequence[Detection]:
        if self.error is not None and self.when(picture):
            raise self.error
        height, width = picture.shape
        landmarks = np.zeros((5, 2), np.float32)
        return [
            Detection(width / 2, 0.0, width / 2, height),
            Detection(0.0, 0.0, width / 2, height, 0.5, landmarks),
        ]


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setattr(module, "create_detector", lambda config: stub)
    return stub


@dataclass(frozen=True)
class WholeFile:
    """A file as its messages describe it: the frames and crops of the chunks that count, and its result."""

    result: FileResult
    frames: tuple[SampledFrame, ...]
    crops: NDArray[np.uint8]

    @property
    def media(self) -> Media:
        return self.result.media

    @property
    def info(self) -> MediaInfo:
        return self.result.info

    @property
    def failure(self) -> Failure | None:
        return self.result.failure

    @property
    def failed(self) -> bool:
        return self.result.failed


def prepare(*files: Path | Media, sampling: Sampling | None = None) -> list[WholeFile]:
    """What a worker makes of files, as discovery sees them, in one task."""
    media = tuple(file if isinstance(file, Media) else found(file) for file in files)
    whole = whole_files(Worker(Settings(sampling or Sampling(), DetectorConfig())).process(Task(media)))
    assert [file.media for file in whole] == list(media)
    return whole


def found(file: Path) -> Media:
    (media,) = discover([str(file)])
    return media


def whole_files(messages: Iterable[Message]) -> list[WholeFile]:
    """The files that messages describe, in the order of their results, and what holds of every one of them."""
    chunks: dict[str, list[FrameChunk]] = {}
    files = []
    for message in messages:
        assert not isinstance(message, VideoSections)
        sent = chunks.setdefault(message.media.path, [])
        if isinstance(message, FrameChunk):
            assert message.frames
            sent.append(message)
            continue
        counted = [chunk for chunk in sent if chunk.attempt == message.attempt and not message.unusable]
        frames = tuple(frame for chunk in counted for frame in chunk.frames)
        files.append(WholeFile(message, frames, np.concatenate([NO_CROPS, *(chunk.crops for chunk in counted)])))
        check(files[-1])
    return files


def check(file: WholeFile) -> None:
    """What holds of every file, whatever became of it."""
    result, frames = file.result, file.frames
    assert (file.crops.dtype, file.crops.shape[1:]) == (np.uint8, (48, 48))
    assert len(file.crops) == sum(len(frame.faces) for frame in frames)
    assert (result.frames_sampled, result.faces_found) == (len(frames), len(file.crops))
    assert [frame.sample_index for frame in frames] == list(range(len(frames)))
    assert all((frame.time is None) == (result.media.media_type == "image") for frame in frames)
    assert result.processing_s >= 0
    assert pickle.loads(pickle.dumps(frames)) == frames
    if result.failure is not None:
        message = result.failure.message
        assert message.startswith(one_line(f"{result.media.path}: x")[:-1])
        assert message.isprintable()
        assert len(message) < 1000


def failed(file: Path | Media, **options: Any) -> Failure:
    (whole,) = prepare(file, **options)
    assert whole.failed
    assert whole.frames == ()
    assert whole.failure is not None
    return whole.failure


def photo(path: Path, number: int = 37) -> Path:
    Image.fromarray(numbered(number)).save(path)
    return path


class FakeRunner:
    """Calls a worker on tasks in an order of its own, as several workers would, and loses what it is told to lose:
    by section, how many results come before each loss."""

    def __init__(self, sampling: Sampling, losses: dict[int, list[int]] | None = None, seed: int = 0) -> None:
        self.worker = Worker(Settings(sampling, DetectorConfig()))
        self.losses, self.random = losses or {}, random.Random(seed)
        self.tasks: list[Task] = []

    def run(self, next_task: Callable[[], Task | None]) -> Generator[Outcome[Task, Message], None, None]:
        in_progress: list[tuple[Task, Iterator[Message]]] = []
        while True:
            while len(in_progress) < 3 and (task := next_task()) is not None:
                self.tasks.append(task)
                in_progress.append((task, self._messages(task)))
            if not in_progress:
                return
            place = self.random.randrange(len(in_progress))
            task, messages = in_progress[place]
            try:
                message = next(messages)
            except StopIteration:
                del in_progress[place]
                continue
            except InterruptedError:
                del in_progress[place]
                yield Outcome(task, None, TaskError.WORKER_DIED, "its worker process died")
                continue
            yield Outcome(task, message)

    def _messages(self, task: Task) -> Iterator[Message]:
        number = task.section.number if task.section else 0
        before_loss = self.losses[number].pop(0) if self.losses.get(number) else None
        for place, message in enumerate(self.worker.process(task)):
            if place == before_loss:
                raise InterruptedError
            yield message


def merged(
    path: Path, sampling: Sampling, losses: dict[int, list[int]] | None = None, seed: int = 0
) -> tuple[WholeFile, FakeRunner]:
    """A file as the rest of a run sees it, its chunks put together."""
    runner = FakeRunner(sampling, losses, seed)
    scheduler = Scheduler([Task((found(path),))], window=4)
    messages = [message for outcome in runner.run(scheduler.next_task) for message in scheduler.handle(outcome)]
    (file,) = whole_files(messages)
    return replace(file, result=replace(file.result, processing_s=0.0, cuts=0, section=0, attempt=1)), runner


class StubClassifier:
    """Has nothing to load; finds all emotions equally probable."""

    device_name: str | None = None

    def load(self) -> None:
        pass

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.full((len(crops), 7), 1 / 7)


def run_workers(config: ResolvedConfig, runner: Runner[Task, Message] | None = None) -> list[WholeFile]:
    """What the workers of a run make of its inputs; nothing is classified or written."""
    scheduler = Scheduler(plan(discover(config.inputs)), window=2 * config.workers + 1)
    return whole_files(_messages(scheduler, runner or create_runner(config), StubClassifier()))
