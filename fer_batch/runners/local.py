"""Worker processes on this machine: one that dies or hangs costs its own task and no other.

Results stream: a worker hands on what it has, waits where nobody takes it, and never holds all of a long task. Each
worker has a pipe of its own, so that none can leave a lock behind that others wait for.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from fer_batch.runners.base import Loss, MakeFunction, Outcome, Result, Task
from fer_batch.runners.parent_watch import end_with_parent

#: Results that wait for the consumer, for each worker.
_RESULTS_PER_WORKER = 2
#: Seconds that a worker may take to start, beyond the time of its first task.
_START_UP = 60.0
#: Seconds after which the overseer looks whether the consumer has left.
_GLANCE = 0.1
# Spawned, not forked: threads of FFmpeg and TensorFlow do not survive a fork.
_CONTEXT = multiprocessing.get_context("spawn")


class LocalRunner(Generic[Task, Result]):
    """Processes that each make the function once and call it on task after task."""

    def __init__(self, make: MakeFunction[Task, Result], workers: int, timeout: float | None) -> None:
        """`timeout`: seconds from one result of a task to the next, those in which none was taken excepted; None
        for no bound."""
        self._make, self._workers, self._timeout = make, workers, timeout

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome[Task, Result], None, None]:
        """See `Runner.run`."""
        overseer = _Overseer(self._make, self._workers, self._timeout, iter(tasks))
        overseer.start()
        try:
            while (item := overseer.outcomes.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            overseer.leaving.set()
            overseer.join()


class _Overseer(threading.Thread, Generic[Task, Result]):
    """Hands out tasks and takes in results, so that workers need not wait while the consumer is busy."""

    def __init__(
        self, make: MakeFunction[Task, Result], workers: int, timeout: float | None, tasks: Iterator[Task]
    ) -> None:
        super().__init__(daemon=True, name="overseer")
        self._timeout, self._tasks = timeout, tasks
        self._workers: list[_Worker[Task, Result]] = [_Worker(make) for _ in range(workers)]
        #: What has come; last, None, or an exception that ended it all.
        self.outcomes: queue.Queue[Outcome[Task, Result] | BaseException | None] = queue.Queue(
            workers * _RESULTS_PER_WORKER
        )
        #: Set by the consumer: nothing more is wanted.
        self.leaving = threading.Event()

    def run(self) -> None:
        last: BaseException | None = None
        try:
            while not self.leaving.is_set() and (busy := self._give_out()):
                ready = wait([worker.pipe for worker in busy], _GLANCE)
                for worker in busy:
                    outcome = worker.take() if worker.pipe in ready else worker.end_if_late(self._timeout)
                    if outcome is not None:
                        self._put(outcome)
        except BaseException as error:
            last = error
        finally:
            for worker in self._workers:
                worker.end()
            self._put(last)

    def _give_out(self) -> list[_Worker[Task, Result]]:
        """Give idle workers a task, as long as there are tasks. Returns the workers that have one."""
        for worker in self._workers:
            if worker.task is None and (task := next(self._tasks, None)) is not None:
                worker.give(task)
        return [worker for worker in self._workers if worker.task is not None]

    def _put(self, item: Outcome[Task, Result] | BaseException | None) -> None:
        before = time.monotonic()
        while not self.leaving.is_set():
            with suppress(queue.Full):
                self.outcomes.put(item, timeout=_GLANCE)
                break
        held_up = time.monotonic() - before
        for worker in self._workers:
            worker.heard += held_up


class _Worker(Generic[Task, Result]):
    """A process, started when it is first needed and after each death, and the task it is at."""

    def __init__(self, make: MakeFunction[Task, Result]) -> None:
        self._make = make
        self._process: Any = None
        self.pipe: Connection[Any, Any]
        self.task: Task | None = None
        #: When it was last heard of: given a task, ready for it, or with a result of it.
        self.heard = 0.0
        #: Whether it has made its function; the task's time runs from then on.
        self.ready = False

    def give(self, task: Task) -> None:
        if self._process is None or not self._process.is_alive():
            self._start()
        self.task, self.heard = task, time.monotonic()
        with suppress(OSError):  # It has just died; `take` will say so.
            self.pipe.send(task)

    def take(self) -> Outcome[Task, Result] | None:
        """What the worker has sent: a result, or None where it only said how far it is. Raises what it raised."""
        assert self.task is not None
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            return self._lose(Loss.WORKER_DIED, "its worker process died ({cause})")
        if kind == _RAISED:
            raise value
        if kind == _RESULT:
            self.heard = time.monotonic()
            return Outcome(self.task, value)
        if kind == _DONE:
            self.task = None
        else:
            self.ready, self.heard = True, time.monotonic()
        return None

    def end_if_late(self, timeout: float | None) -> Outcome[Task, Result] | None:
        if timeout is None or time.monotonic() - self.heard < timeout + (0.0 if self.ready else _START_UP):
            return None
        return self._lose(Loss.TIMEOUT, f"gave nothing for {timeout:g} s; allow more with --timeout")

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self.pipe.close()
        self._process = None

    def _start(self) -> None:
        self.end()
        self.ready = False
        self.pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(self._make, theirs), daemon=True)
        self._process.start()
        theirs.close()  # Or its end would go unnoticed here.

    def _lose(self, loss: Loss, message: str) -> Outcome[Task, Result]:
        assert self.task is not None
        task, self.task, process = self.task, None, self._process
        if loss is Loss.WORKER_DIED:
            process.join(1.0)  # The pipe closes a moment before the process ends and has a status.
        self.end()
        return Outcome(task, None, loss, message.format(cause=_cause(process.exitcode)))


_READY, _RESULT, _DONE, _RAISED = range(4)


def _serve(make: MakeFunction[Task, Result], pipe: Connection[Any, Any]) -> None:
    """The life of a worker. Ctrl-C goes to the whole group; the main process decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    try:
        function: Callable[[Task], Iterable[Result]] = make()
        pipe.send((_READY, None))
        while True:
            for result in function(pipe.recv()):
                pipe.send((_RESULT, result))
            pipe.send((_DONE, None))
    except (EOFError, ConnectionError):
        return  # The main process has gone.
    except Exception as error:
        error.add_note(traceback.format_exc())
        pipe.send((_RAISED, error))


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit status {exit_code}"
