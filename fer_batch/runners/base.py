"""What every runner offers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Loss(StrEnum):
    """Why no more results of a task will come."""

    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"


@dataclass(frozen=True)
class Outcome(Generic[Task, Result]):
    """A task with one of its results, or with the reason why no more will come and a message for people."""

    task: Task
    result: Result | None
    loss: Loss | None = None
    message: str = ""


class Runner(Protocol[Task, Result]):
    """Calls a function on many tasks, in parallel."""

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome[Task, Result], None, None]:
        """Outcomes as they come: those of one task in their order, those of different tasks in any. A task that is lost
        has one without a result as its last. Few results wait at a time: a consumer that falls behind holds the workers
        back. Closing the generator stops them. Tasks are drawn as workers fall idle, so the consumer may add to
        them meanwhile; what it adds once the last is drawn and done is for another call."""
        ...


#: Makes the function in a worker's own process; must be picklable. The function gives a task's results one by one; its
#: exceptions are bugs and are raised.
MakeFunction = Callable[[], Callable[[Task], Iterable[Result]]]
