"""Worker processes on this machine: one that dies or hangs costs its own task and no other.

Results stream: a worker sends what it has, waits where nobody takes it, and never holds all of a long task. Each worker
has a pipe of its own, so that none can leave a lock behind that others wait for.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic

from fer_batch.environment import environment_variable
from fer_batch.errors import WorkerStartError
from fer_batch.log import stderr_to_file
from fer_batch.runners.base import (
    START_ATTEMPTS,
    MakeFunction,
    NextTask,
    Outcome,
    ResultT,
    TaskError,
    TaskT,
    stream_outcomes,
)
from fer_batch.runners.parent_watch import end_with_parent

log = logging.getLogger(__name__)

#: Results that wait for the consumer, for each worker.
_RESULTS_PER_WORKER = 2
#: Seconds that a worker may take to start, beyond the time of its first task.
_START_UP_S = 60.0
# Spawned, not forked: threads of FFmpeg and TensorFlow do not survive a fork.
_CONTEXT = multiprocessing.get_context("spawn")


class LocalRunner(Generic[TaskT, ResultT]):
    """Processes that each make the function once and call it on task after task."""

    def __init__(self, make: MakeFunction[TaskT, ResultT], workers: int, timeout: float | None) -> None:
        """`timeout`: seconds from one result of a task to the next, those in which none was taken excepted; None
        for no limit."""
        self._make, self._workers, self._timeout = make, workers, timeout

    def run(self, next_task: NextTask[TaskT]) -> Generator[Outcome[TaskT, ResultT], None, None]:
        """See `Runner.run`."""
        pool: _ProcessPool[TaskT, ResultT] = _ProcessPool(self._make, self._workers, self._timeout)
        return stream_outcomes(pool, next_task, self._workers * _RESULTS_PER_WORKER)


class _StartFailed(Exception):
    """A worker process ended, or was late, before it was ready for its first task; the text says why."""


class _ProcessPool(Generic[TaskT, ResultT]):
    """A `WorkerPool` of processes."""

    def __init__(self, make: MakeFunction[TaskT, ResultT], workers: int, timeout: float | None) -> None:
        self._timeout = timeout
        self._workers: list[_Worker[TaskT, ResultT]] = [_Worker(make) for _ in range(workers)]
        #: Tasks of workers that never started.
        self._returned = deque[TaskT]()
        self._failed_starts = 0

    def assign(self, next_task: NextTask[TaskT]) -> bool:
        """See `WorkerPool`."""
        for worker in list(self._workers):
            if worker.task is None:
                task = self._returned.popleft() if self._returned else next_task()
                if task is None:
                    break
                try:
                    worker.give(task)
                except OSError as error:  # The system starts no more processes.
                    self._start_failed(worker, str(error))
        return any(worker.task is not None for worker in self._workers) or bool(self._returned)

    def poll(self, seconds: float) -> Iterator[Outcome[TaskT, ResultT]]:
        """See `WorkerPool`."""
        busy = [worker for worker in self._workers if worker.task is not None]
        ready = wait([worker.pipe for worker in busy], seconds)
        for worker in busy:
            was_ready = worker.ready
            try:
                outcome = worker.receive() if worker.pipe in ready else worker.check_deadline(self._timeout)
            except _StartFailed as error:
                self._start_failed(worker, str(error))
                continue
            if worker.ready and not was_ready:
                self._failed_starts = 0
            if outcome is not None:
                yield outcome

    def extend_deadlines(self, seconds: float) -> None:
        """See `WorkerPool`."""
        for worker in self._workers:
            worker.last_sign += seconds

    def stop(self) -> None:
        """See `WorkerPool`."""
        for worker in self._workers:
            worker.stop()

    def _start_failed(self, worker: _Worker[TaskT, ResultT], reason: str) -> None:
        """Keep the task for another worker. Raises WorkerStartError where it is no accident and none is left."""
        if worker.task is not None:
            self._returned.append(worker.task)
        worker.stop()
        self._failed_starts += 1
        log.debug("a worker process did not start: %s", reason)
        if self._failed_starts < START_ATTEMPTS:
            return
        if not any(other.ready for other in self._workers):
            raise WorkerStartError(f"worker processes can't start: {reason}")
        self._workers.remove(worker)
        log.warning("a worker process can't start: %s; going on with %d workers", reason, len(self._workers))


class _Worker(Generic[TaskT, ResultT]):
    """A process, started when it is first needed and after each death, and the task it is working on."""

    def __init__(self, make: MakeFunction[TaskT, ResultT]) -> None:
        self._make = pickle.dumps(make)
        self._process: Any = None
        self.pipe: Connection[Any, Any]
        self.task: TaskT | None = None
        #: When it last gave a sign of life: given a task, ready for it, or with a result. Seconds, monotonic clock.
        self.last_sign = 0.0
        #: Whether the process has made its function; the task's time runs from then on.
        self.ready = False
        self._start_log: Path | None = None

    def give(self, task: TaskT) -> None:
        """Have the process work on a task. Raises OSError where none can be started."""
        self.task, self.last_sign = task, time.monotonic()
        if self._process is None or not self._process.is_alive():
            self._start()
        with suppress(BrokenPipeError, ConnectionError):  # It has just died; `receive` will say so.
            self.pipe.send(task)

    def receive(self) -> Outcome[TaskT, ResultT] | None:
        """What the process has sent: a result, or None where it was only a sign of life. Raises what it raised."""
        assert self.task is not None
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            return self._lost(TaskError.WORKER_DIED, "its worker process died ({cause})")
        if kind == _RAISED:
            raise value
        self.last_sign = time.monotonic()
        if kind == _RESULT:
            return Outcome(self.task, value)
        if kind == _DONE:
            self.task = None
        elif kind == _START_FAILED:
            raise _StartFailed(value)
        else:
            self.ready = True
            self._remove_start_log()
        return None

    def check_deadline(self, timeout: float | None) -> Outcome[TaskT, ResultT] | None:
        """The loss of the task, where its time is over."""
        if timeout is None or time.monotonic() - self.last_sign < timeout + (0.0 if self.ready else _START_UP_S):
            return None
        return self._lost(TaskError.TIMEOUT, f"gave no result for {timeout:g} s; allow more with --timeout")

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self.pipe.close()
        self._process, self.task, self.ready = None, None, False
        self._remove_start_log()

    def _start(self) -> None:
        task = self.task
        self.stop()
        self.task = task
        self._start_log = _temporary_file()
        self.pipe, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(self._make, theirs, self._start_log), daemon=True)
        try:
            # Started by `-c`, Python would import from the working folder first: a `random.py` or `types.py` that lies
            # beside the user's media would run in place of its own.
            with environment_variable("PYTHONSAFEPATH", "1"):
                process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()  # Or the end of the process would go unnoticed here.
        self._process = process

    def _lost(self, error: TaskError, message: str) -> Outcome[TaskT, ResultT]:
        assert self.task is not None
        process, ready, task = self._process, self.ready, self.task
        if error is TaskError.WORKER_DIED:
            process.join(1.0)  # The pipe closes a moment before the process ends and has a status.
        last_words = self._last_words()
        if not ready:
            process.kill()
            process.join()
            cause = _cause(process.exitcode) if error is TaskError.WORKER_DIED else "it was not ready in time"
            raise _StartFailed(f"{last_words} ({cause})" if last_words else cause)
        self.stop()
        return Outcome(task, None, error, message.format(cause=_cause(process.exitcode)))

    def _last_words(self) -> str:
        """The last line that the process wrote to stderr before it was ready."""
        if self._start_log is None:
            return ""
        with suppress(OSError):
            lines = self._start_log.read_text(errors="replace").split("\n")
            log.debug("a worker process wrote: %s", "; ".join(lines))
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def _remove_start_log(self) -> None:
        if self._start_log is not None:
            self._start_log.unlink(missing_ok=True)
        self._start_log = None


_READY, _RESULT, _DONE, _RAISED, _START_FAILED = range(5)


def _serve(pickled_make: bytes, pipe: Connection[Any, Any], start_log: Path | None) -> None:
    """The life of a worker. Ctrl-C goes to the whole process group; the main process decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    try:
        try:
            with stderr_to_file(start_log):
                # Loading it imports what the function needs.
                make: MakeFunction[Any, Any] = pickle.loads(pickled_make)
                function: Callable[[Any], Iterable[Any]] = make()
        except (ImportError, OSError, MemoryError) as error:  # Of this machine, and of no task.
            pipe.send((_START_FAILED, f"{type(error).__name__}: {error}"))
            return
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


def _temporary_file() -> Path | None:
    """An empty file for what a process says as it starts; None where there is no room for one."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="fer-batch-worker-", suffix=".log")
    except OSError:
        return None
    os.close(descriptor)
    return Path(name)


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit status {exit_code}"
