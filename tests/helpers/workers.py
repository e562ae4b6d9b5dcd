"""Workers that do what their task says: the functions that the tests of runners give to them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def make_worker() -> Callable[[str], Iterator[tuple[str, int]]]:
    """Tasks say what their worker does: answer, answer and then something else, die, hang."""

    def work(task: str) -> Iterator[tuple[str, int]]:
        if " then " in task:
            many, task = task.split(" then ")
            for number in range(int(many)):
                yield str(number), os.getpid()
        if task.startswith("crash"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if task.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.startswith("exit"):
            os._exit(3)
        if task.startswith("hang"):
            time.sleep(60)
        if task.startswith("raise"):
            raise ValueError(task)
        yield task.upper(), os.getpid()

    return work


def make_eager_worker() -> Callable[[str], Iterator[bytes]]:
    def work(task: str) -> Iterator[bytes]:
        for number in range(1000):
            Path(task).write_text(str(number))
            yield bytes(1_000_000)

    return work


def make_worker_that_delegates() -> Callable[[str], Iterator[str]]:
    """Its results come from a list's iterator, which nothing can be sent into."""

    def work(task: str) -> Iterator[str]:
        yield from [task, task.upper()]

    return work


def make_none() -> Callable[[str], Iterator[str]]:
    raise RuntimeError("can't be made")


def make_without_library() -> Callable[[str], Iterator[str]]:
    raise ImportError("libGL.so.1: cannot open shared object file")


def make_killed() -> Callable[[str], Iterator[str]]:
    os.write(2, b"starting\nsymbol lookup error: undefined symbol: x\n")
    os._exit(127)


@dataclass(frozen=True)
class FailingStarts:
    """Makes `make_worker`'s function, but for the first processes, which die as they start."""

    folder: Path
    failures: int

    def __call__(self) -> Callable[[str], Iterator[tuple[str, int]]]:
        (self.folder / str(os.getpid())).touch()
        if len(list(self.folder.iterdir())) <= self.failures:
            os._exit(1)
        return make_worker()


class TaskList:
    """A source of tasks that were known before."""

    def __init__(self, tasks: Iterable[Any]) -> None:
        self._tasks = iter(tasks)

    def __call__(self) -> Any:
        return next(self._tasks, None)
