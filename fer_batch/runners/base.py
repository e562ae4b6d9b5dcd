"""What every runner offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Loss(StrEnum):
    """Why a task has no result."""

    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"


@dataclass(frozen=True)
class Outcome(Generic[Task, Result]):
    """A task with its result, or with the reason why it has none and a message for people."""

    task: Task
    result: Result | None
    loss: Loss | None = None
    message: str = ""


class Runner(Protocol[Task, Result]):
    """Calls a function on many tasks, in parallel."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome[Task, Result]]:
        """Outcomes as they come, in any order, one for each task. Few tasks are under way at a time: a consumer that
        falls behind holds the workers back. Leaving the iterator early stops them."""
        ...


#: Makes the function in a worker's own process; must be picklable. The function's exceptions are bugs and are raised.
MakeFunction = Callable[[], Callable[[Task], Result]]
