"""Worker processes on this machine, by Pebble: a worker that dies or hangs costs its own task and no other."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any, Generic

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from fer_batch.runners.base import Loss, MakeFunction, Outcome, Result, Task
from fer_batch.runners.orphans import end_with_parent

#: Tasks under way for each worker: one at work, one waiting so that it never idles.
_TASKS_PER_WORKER = 2

_function: Callable[[Any], Any] | None = None


class LocalRunner(Generic[Task, Result]):
    """A pool of processes that each make the function once and call it on task after task."""

    def __init__(self, make: MakeFunction[Task, Result], workers: int, timeout: float | None) -> None:
        """`timeout`: seconds a task may take, None for no bound."""
        self._make, self._workers, self._timeout = make, workers, timeout

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome[Task, Result]]:
        """See `Runner.run`."""
        waiting = iter(tasks)
        under_way: dict[ProcessFuture[Result], Task] = {}
        # Spawned, not forked: threads of FFmpeg and TensorFlow do not survive a fork.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPool(self._workers, initializer=_start, initargs=(self._make,), context=context)
        try:
            while True:
                while len(under_way) < self._workers * _TASKS_PER_WORKER:
                    task = next(waiting, None)
                    if task is None:
                        break
                    under_way[pool.schedule(_call, args=(task,), timeout=self._timeout)] = task
                if not under_way:
                    break
                wait(under_way, return_when=FIRST_COMPLETED)
                for future in [future for future in under_way if future.done()]:
                    yield _outcome(under_way.pop(future), future, self._timeout)
        finally:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()


def _start(make: MakeFunction[Task, Result]) -> None:
    """Runs first in every worker. Ctrl-C goes to the whole group; the main process decides what it means."""
    global _function
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _function = make()


def _call(task: Any) -> Any:
    assert _function is not None
    return _function(task)


def _outcome(task: Task, future: ProcessFuture[Result], timeout: float | None) -> Outcome[Task, Result]:
    try:
        return Outcome(task, future.result())
    except TimeoutError:
        return Outcome(task, None, Loss.TIMEOUT, f"took longer than {timeout:g} s; allow more with --timeout")
    except ProcessExpired as death:
        return Outcome(task, None, Loss.WORKER_DIED, f"its worker process died ({_cause(death.exitcode)})")


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit status {exit_code}"
