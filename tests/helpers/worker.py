"""A worker with a stub for a detector, and what it makes of files."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fer_batch.config import DetectorConfig, Sampling
from fer_batch.detection.base import CropRule
from fer_batch.pipeline import worker as module
from fer_batch.pipeline.discover import discover
from fer_batch.pipeline.scheduler import Given, Preparation, Tasks
from fer_batch.pipeline.worker import Settings, Worker
from fer_batch.records import Ahead, Detection, Failure, Media, Piece, Prepared, Unit
from fer_batch.runners.base import Loss, Outcome
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


def prepare(*files: Path | Media, sampling: Sampling | None = None) -> list[Prepared]:
    """What a worker gives for files, as discovery sees them, in one unit."""
    media = tuple(file if isinstance(file, Media) else found(file) for file in files)
    prepared = list(Worker(Settings(sampling or Sampling(), DetectorConfig())).prepare(Unit(media)))
    assert [one.media for one in prepared] == list(media)
    return [check(one) for one in prepared]


def found(file: Path) -> Media:
    (media,) = discover([str(file)])
    return media


def check(prepared: Piece | Prepared) -> Prepared:
    """What holds of every file, whatever became of it."""
    assert isinstance(prepared, Prepared)
    assert (prepared.crops.dtype, prepared.crops.shape[1:]) == (np.uint8, (48, 48))
    assert len(prepared.crops) == sum(len(frame.faces) for frame in prepared.frames)
    assert [frame.sample_index for frame in prepared.frames] == list(range(len(prepared.frames)))
    assert all((frame.time is None) == (prepared.media.media_type == "image") for frame in prepared.frames)
    assert prepared.processing_s >= 0
    assert pickle.loads(pickle.dumps(prepared)).frames == prepared.frames
    if prepared.failure is not None:
        message = prepared.failure.message
        assert message.startswith(f"{prepared.media.path}: ")
        assert message.isprintable()
        assert len(message) < 1000
    return prepared


def failed(file: Path | Media, **options: Any) -> Failure:
    (prepared,) = prepare(file, **options)
    assert prepared.failed
    assert prepared.frames == ()
    assert prepared.failure is not None
    return prepared.failure


def photo(path: Path, number: int = 37) -> Path:
    Image.fromarray(numbered(number)).save(path)
    return path


class Runner:
    """Calls a worker on units in an order of its own, as several workers would, and loses what it is told to lose:
    by section, how many results come before each loss."""

    def __init__(self, sampling: Sampling, losses: dict[int, list[int]] | None = None, seed: int = 0) -> None:
        self.worker = Worker(Settings(sampling, DetectorConfig()))
        self.losses, self.random = losses or {}, random.Random(seed)
        self.most_under_way = 0
        self.units: list[Unit] = []

    def run(self, tasks: Iterator[Unit]) -> Iterator[Outcome[Unit, Given]]:
        under_way: list[tuple[Unit, Iterator[Given]]] = []
        while True:
            while len(under_way) < 3 and (unit := next(tasks, None)) is not None:
                self.units.append(unit)
                under_way.append((unit, self._results(unit)))
            if not under_way:
                return
            place = self.random.randrange(len(under_way))
            unit, results = under_way[place]
            try:
                result = next(results)
            except StopIteration:
                del under_way[place]
                continue
            except InterruptedError:
                del under_way[place]
                yield Outcome(unit, None, Loss.WORKER_DIED, "its worker process died")
                continue
            yield Outcome(unit, result)

    def _results(self, unit: Unit) -> Iterator[Given]:
        number = unit.section.number if unit.section else 0
        before_loss = self.losses[number].pop(0) if self.losses.get(number) else None
        for place, result in enumerate(self.worker.prepare(unit)):
            if place == before_loss:
                raise InterruptedError
            yield result


def joined(
    path: Path, sampling: Sampling, losses: dict[int, list[int]] | None = None, seed: int = 0
) -> tuple[Prepared, Runner]:
    """A file as the rest of a run sees it, its pieces put together."""
    runner, media = Runner(sampling, losses, seed), found(path)
    preparation = Preparation(Tasks([Unit((media,))]), window=4)
    results: list[Piece | Prepared] = []
    while preparation.tasks:
        for outcome in runner.run(preparation.tasks):
            results += preparation.take(outcome)
    *ahead, last = results
    assert isinstance(last, Prepared)
    assert not any(isinstance(piece, Prepared) for piece in ahead)
    counted = [*ahead[len(ahead) - last.ahead.pieces :], last]
    frames = tuple(frame for piece in counted for frame in piece.frames)
    crops = np.concatenate([piece.crops for piece in counted])
    assert (last.frames_sampled, last.faces_found) == (len(frames), len(crops))
    assert [frame.sample_index for frame in frames] == list(range(len(frames)))
    return replace(last, frames=frames, crops=crops, ahead=Ahead(), processing_s=0.0, cuts=0, section=0), runner
