"""Batches of views and their targets, made in processes of their own while those before them are learnt."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.errors import DatasetError
from fer_batch.runners.parent_watch import end_with_parent
from fer_batch.training.detector.photographs import Photograph
from fer_batch.training.detector.recipe import DetectorRecipe
from fer_batch.training.detector.targets import make_targets
from fer_batch.training.detector.views import MOST_TILES, draw_view

#: Views, uint8 (n, side, side, 3), and the fields of `Targets`.
Batch = tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]

#: Faces of a batch are padded to a multiple of this, so that compiled steps meet few shapes.
_PADDED = 256
#: Batches that wait in each process.
_WAITING = 2
#: Seconds between looks at whether a process still lives.
_POLL_S = 5.0


class BatchMaker:
    """Makes the batches of a recipe, each from the recipe's seed, the epoch and the batch's number alone."""

    def __init__(self, photographs: list[Photograph], recipe: DetectorRecipe) -> None:
        self.photographs, self.recipe = photographs, recipe
        weights = np.array([_weight(photograph, recipe) for photograph in photographs])
        self._shares = weights / weights.sum()
        self._sides, shares = (np.array(values) for values in zip(*recipe.sides, strict=True))
        self._side_shares = shares / shares.sum()

    def make(self, epoch: int, number: int) -> Batch:
        """A batch; its faces are padded with such that have no cell."""
        rng = np.random.default_rng([self.recipe.seed, epoch, number])
        side = int(rng.choice(self._sides, p=self._side_shares))
        count = max(1, self.recipe.pixels // side**2)
        chosen = rng.choice(len(self.photographs), (count, MOST_TILES), p=self._shares)
        views = [draw_view([self.photographs[i] for i in row], self.recipe.views, side, rng) for row in chosen]
        targets = make_targets(views)
        lacking = -len(targets.boxes) % _PADDED or _PADDED * (not len(targets.boxes))
        padded = {
            name: np.pad(value, [(0, lacking)] + [(0, 0)] * (value.ndim - 1))
            for name, value in vars(targets).items()
            if name not in ("counts", "grid")
        }
        padded["boxes"][len(targets.boxes) :] = 1.0
        return np.stack([view.picture for view in views]), {**padded, "counts": targets.counts, "grid": targets.grid}


@contextmanager
def batch_stream(
    photographs: list[Photograph], recipe: DetectorRecipe, first_epoch: int, processes: int | None = None
) -> Iterator[Iterator[Batch]]:
    """The batches of all epochs from `first_epoch` on, in order, whatever the number of processes.

    Raises DatasetError where a process ended early, as for a photograph that can't be read.
    """
    count = processes or max(2, (os.cpu_count() or 1) - 1)
    context = multiprocessing.get_context("spawn")  # A fork would copy the threads' locks of Keras's backends.
    queues = [context.Queue(_WAITING) for _ in range(count)]
    workers = [
        context.Process(
            target=_work, args=(photographs, recipe, first_epoch, number, count, queues[number]), daemon=True
        )
        for number in range(count)
    ]
    for worker in workers:
        worker.start()
    try:
        yield _taken(workers, queues, (recipe.epochs - first_epoch) * recipe.steps)
    finally:
        for worker in workers:
            worker.kill()


def _taken(workers: list[Any], queues: list[Any], total: int) -> Iterator[Batch]:
    for number in range(total):
        while True:
            try:
                yield queues[number % len(queues)].get(timeout=_POLL_S)
                break
            except Empty:
                if not workers[number % len(workers)].is_alive():
                    raise DatasetError("a process that makes batches ended early; its message stands above") from None


def _work(
    photographs: list[Photograph], recipe: DetectorRecipe, first_epoch: int, start: int, step: int, queue: Any
) -> None:
    end_with_parent()
    cv2.setNumThreads(1)
    maker = BatchMaker(photographs, recipe)
    for number in range(start, (recipe.epochs - first_epoch) * recipe.steps, step):
        epoch, batch = divmod(number, recipe.steps)
        queue.put(maker.make(first_epoch + epoch, batch))


def _weight(photograph: Photograph, recipe: DetectorRecipe) -> float:
    return float(recipe.source_weights.get(photograph.source, 1.0) * np.sqrt(photograph.rarity))
