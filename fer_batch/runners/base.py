"""What every runner offers, and the thread that all of them hand out tasks with."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

#: Makes the function in a worker's own process; must be picklable. The function yields a task's results one by one; its
#: exceptions are defects and are raised by the runner.
MakeFunction = Callable[[], Callable[[TaskT], Iterable[ResultT]]]
#: Gives the next task, or None where there is none at present.
NextTask = Callable[[], TaskT | None]

#: Seconds that pass at most before the thread looks for new tasks and whether the consumer has left.
POLL_S = 0.1
#: Workers that may fail to start, one after another, before it is taken for more than an accident.
START_ATTEMPTS = 3


class TaskError(StrEnum):
    """Why no more results of a task will come."""

    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"


@dataclass(frozen=True)
class Outcome(Generic[TaskT, ResultT]):
    """A task with one of its results, or with the reason why no more will come and a message for people."""

    task: TaskT
    result: ResultT | None
    error: TaskError | None = None
    message: str = ""


class Runner(Protocol[TaskT, ResultT]):
    """Calls a function on many tasks, in parallel."""

    def run(self, next_task: NextTask[TaskT]) -> Generator[Outcome[TaskT, ResultT], None, None]:
        """Yields outcomes as they come: those of one task in order, those of different tasks in any.

        A task that is lost has one without a result as its last. Few results wait at a time: a consumer that falls
        behind holds the workers back. Closing the generator stops them.

        Args:
            next_task: Called, from another thread, whenever a worker is idle. The consumer may add tasks as it handles
                outcomes; the run ends when there is no task, none is in progress, and all outcomes have been handled.

        Raises:
            WorkerStartError: Workers can't be started. Tasks that they were given are lost to nobody.
        """
        ...


class WorkerPool(Protocol[TaskT, ResultT]):
    """The workers of a runner, used by one thread."""

    def assign(self, next_task: NextTask[TaskT]) -> bool:
        """Give idle workers a task, as long as there are tasks. Returns whether any is in progress."""
        ...

    def poll(self, seconds: float) -> Iterator[Outcome[TaskT, ResultT]]:
        """Yields what has come, and what has been lost, after waiting for at most so many seconds. Raises what the
        function raised."""
        ...

    def extend_deadlines(self, seconds: float) -> None:
        """Do not count time in which no results were taken against any task."""
        ...

    def stop(self) -> None:
        """End all workers, whatever they are doing."""
        ...


def stream_outcomes(
    pool: WorkerPool[TaskT, ResultT], next_task: NextTask[TaskT], waiting: int
) -> Generator[Outcome[TaskT, ResultT], None, None]:
    """Run a pool of workers; see `Runner.run`. `waiting`: how many outcomes may wait for the consumer."""
    supervisor = _Supervisor(pool, next_task, waiting)
    supervisor.start()
    try:
        while (item := supervisor.outcomes.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            supervisor.note_handled()
    finally:
        supervisor.stopping.set()
        supervisor.join()


class _Supervisor(threading.Thread, Generic[TaskT, ResultT]):
    """Hands out tasks and takes results, so that workers need not wait while the consumer is busy."""

    def __init__(self, pool: WorkerPool[TaskT, ResultT], next_task: NextTask[TaskT], waiting: int) -> None:
        super().__init__(daemon=True, name="supervisor")
        self._pool, self._next_task = pool, next_task
        #: What has come; last, None, or an exception that ended it all.
        self.outcomes: queue.Queue[Outcome[TaskT, ResultT] | BaseException | None] = queue.Queue(waiting)
        #: Set by the consumer: nothing more is wanted.
        self.stopping = threading.Event()
        self._delivered = self._handled = 0
        self._handled_more = threading.Event()

    def note_handled(self) -> None:
        """Called by the consumer: whatever tasks follow from the last outcome are there now."""
        self._handled += 1
        self._handled_more.set()

    def run(self) -> None:
        last: BaseException | None = None
        try:
            while not self.stopping.is_set():
                all_handled = self._handled == self._delivered  # Asked first, or a task might be added in between.
                if self._pool.assign(self._next_task):
                    for outcome in self._pool.poll(POLL_S):
                        self._delivered += 1
                        self._deliver(outcome)
                elif all_handled:
                    break
                else:
                    self._handled_more.wait(POLL_S)
                    self._handled_more.clear()
        except BaseException as error:
            last = error
        finally:
            self._pool.stop()
            self._deliver(last)

    def _deliver(self, item: Outcome[TaskT, ResultT] | BaseException | None) -> None:
        started = time.monotonic()
        while not self.stopping.is_set():
            with suppress(queue.Full):
                self.outcomes.put(item, timeout=POLL_S)
                break
        self._pool.extend_deadlines(time.monotonic() - started)
