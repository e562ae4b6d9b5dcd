"""Workers on a Ray cluster, by Ray's actors: the same contract as on one machine, on as many as there are.

Each actor makes the function once and works on one task at a time, so that a lost worker or node costs the tasks it had
and no other. Results stream through Ray's generators, which pause a worker whose results nobody takes. Ray itself
retries nothing: whether a lost task is tried again is for the caller to decide, as it is for local processes.
"""

from __future__ import annotations

import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic

from fer_batch.errors import UsageError, WorkerStartError, missing_extra
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

log = logging.getLogger(__name__)

#: Results of one task that wait for the consumer.
_RESULTS_PER_TASK = 2
#: Seconds without any worker after which a warning says so, again and again: Ray waits for nodes, people may not.
_WARN_AFTER_S = 60.0
#: To Ray, whether a machine may be part of a cluster of several; if not, all that it starts listens on 127.0.0.1.
_LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
#: Workers that may be lost one after another as they start before it is taken for more than a lost node.
_LOST_STARTS = 16


@dataclass(frozen=True)
class Cluster:
    """How many processors and GPUs the nodes of a cluster have together."""

    cpus: int
    gpus: int


def connect(address: str | None) -> Cluster:
    """Connect to a Ray cluster, once. `address`: of its head, `host:port`, or `auto` for the cluster this machine is
    part of; None for what RAY_ADDRESS names or, without it, this machine alone, which then listens on loopback only.

    Raises UsageError where Ray is missing or there is no cluster at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    alone = {"address": "local", "include_dashboard": False}
    if address is None:
        os.environ.setdefault(_LOOPBACK_ONLY, "0")  # Read as Ray is imported.
    try:
        import ray
    except ImportError:
        raise missing_extra("--engine ray needs Ray", "ray") from None
    if not ray.is_initialized():
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**({"address": address} if address else alone), configure_logging=False, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"--ray-address {address}: no Ray cluster there ({_first_line(error)})") from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray's own would end the run without its last part.
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call, unused-ignore]
    return Cluster(max(1, int(total.get("CPU", 1))), int(total.get("GPU", 0)))


class RayRunner(Generic[TaskT, ResultT]):
    """Actors that each make the function once and call it on task after task."""

    def __init__(
        self, make: MakeFunction[TaskT, ResultT], workers: int, timeout: float | None, address: str | None = None
    ) -> None:
        """Connect to the cluster.

        Args:
            make: See `MakeFunction`.
            workers: Actors, each with a processor; those the cluster has no room for wait until it has.
            timeout: Seconds from one result of a task to the next, those in which none was taken excepted.
            address: See `connect`.
        """
        connect(address)
        self._make, self._workers, self._timeout = make, workers, timeout

    def run(self, next_task: NextTask[TaskT]) -> Generator[Outcome[TaskT, ResultT], None, None]:
        """See `Runner.run`."""
        pool: _ActorPool[TaskT, ResultT] = _ActorPool(self._make, self._workers, self._timeout)
        return stream_outcomes(pool, next_task, self._workers)


class _ActorPool(Generic[TaskT, ResultT]):
    """A `WorkerPool` of actors."""

    def __init__(self, make: MakeFunction[TaskT, ResultT], workers: int, timeout: float | None) -> None:
        import ray

        self._ray, self._timeout = ray, timeout
        self._size, self._make = workers, ray.put(make)
        self._actor: Any = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(
            _Actor
        )
        #: Actors that have not started yet, by their answer to come; idle ones; tasks in progress, by their results.
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, _Assignment[TaskT]] = {}
        self._failed_starts, self._last_warned = 0, time.monotonic()

    def assign(self, next_task: NextTask[TaskT]) -> bool:
        """See `WorkerPool`. An actor gets its task only once it has started: the cluster may never have room for it."""
        while self._idle and (task := next_task()) is not None:
            actor = self._idle.pop()
            results = actor.work.options(
                num_returns="streaming", _generator_backpressure_num_objects=_RESULTS_PER_TASK
            ).remote(task)
            self._busy[results] = _Assignment(task, actor, time.monotonic())
        if self._idle:  # There are no tasks, unless those in progress lead to more.
            return bool(self._busy)
        while len(self._starting) + len(self._busy) < self._size:
            actor = self._actor.remote(self._make)
            self._starting[actor.make.remote()] = actor
        return True

    def poll(self, seconds: float) -> Iterator[Outcome[TaskT, ResultT]]:
        """See `WorkerPool`."""
        waiting = [*self._starting, *self._busy]
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds, fetch_local=False)
        if ready:  # And whatever else has come.
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        for reference in ready:
            if reference in self._starting:
                self._add_started(reference)
            elif (outcome := self._receive(reference)) is not None:
                yield outcome
        for results, assignment in list(self._busy.items()):
            if self._timeout is not None and time.monotonic() - assignment.last_sign > self._timeout:
                message = f"gave no result for {self._timeout:g} s; allow more with --timeout"
                yield self._lost(results, TaskError.TIMEOUT, message)
        self._warn_of_waiting()

    def extend_deadlines(self, seconds: float) -> None:
        """See `WorkerPool`."""
        for assignment in self._busy.values():
            assignment.last_sign += seconds

    def stop(self) -> None:
        """See `WorkerPool`."""
        self._kill([*self._starting.values(), *self._idle, *(job.actor for job in self._busy.values())])

    def _add_started(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, ImportError | OSError | MemoryError):  # Of its machine, and of no task.
                raise error.cause from None
            self._start_failed(error.cause, START_ATTEMPTS)
            return
        except self._ray.exceptions.RayError as error:
            self._start_failed(error, _LOST_STARTS)
            return
        self._failed_starts = 0
        self._idle.append(actor)

    def _start_failed(self, error: BaseException, limit: int) -> None:
        self._failed_starts += 1
        if self._failed_starts >= limit:
            reason = f"{type(error).__name__}: {_first_line(error)}"
            raise WorkerStartError(f"worker processes can't start on the Ray cluster: {reason}") from error

    def _receive(self, results: Any) -> Outcome[TaskT, ResultT] | None:
        assignment = self._busy[results]
        try:
            outcome = Outcome(assignment.task, self._ray.get(next(results)))
            assignment.last_sign = time.monotonic()
            return outcome
        except StopIteration:
            self._idle.append(self._busy.pop(results).actor)
            return None
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            return self._lost(results, TaskError.WORKER_DIED, f"its Ray worker was lost ({_first_line(error)})")

    def _lost(self, results: Any, error: TaskError, message: str) -> Outcome[TaskT, ResultT]:
        assignment = self._busy.pop(results)
        self._kill([assignment.actor])
        return Outcome(assignment.task, None, error, message)

    def _kill(self, actors: Iterable[Any]) -> None:
        for actor in actors:
            with suppress(Exception):  # It may be gone, and so may the cluster.
                self._ray.kill(actor)

    def _warn_of_waiting(self) -> None:
        now = time.monotonic()
        if self._busy or self._idle:
            self._last_warned = now
        elif now - self._last_warned > _WARN_AFTER_S:
            self._last_warned = now
            log.warning("waiting for the Ray cluster: it has no processor free for a worker")


@dataclass
class _Assignment(Generic[TaskT]):
    """A task in progress: which actor works on it, and when it last gave a result (seconds, monotonic clock)."""

    task: TaskT
    actor: Any
    last_sign: float


class _Actor:
    """What runs in a worker of Ray."""

    def __init__(self, make: MakeFunction[Any, Any]) -> None:
        self._make_function = make

    def make(self) -> None:
        """Make the function. Not while the actor is made: Ray would hide what it raises."""
        self._function = self._make_function()

    def work(self, task: Any) -> Iterator[Any]:
        """Yield the results of a task."""
        # Not `yield from`: Ray sends values into the generator, and a list's iterator takes none.
        for result in self._function(task):  # noqa: UP028
            yield result


class RayPool(Generic[TaskT, ResultT]):
    """Actors that each make a function once; calls are spread over them and give one result each.

    For functions without state: calls that are lost with an actor or its node are made again by Ray, elsewhere.
    """

    def __init__(
        self, make: Callable[[], Callable[[TaskT], ResultT]], size: int, gpus: int, address: str | None
    ) -> None:
        """`size`: actors, each with a processor and so many GPUs. Raises what `make` raises in one of them."""
        connect(address)
        import ray

        self._ray = ray
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": -1, "max_task_retries": 3}
        actor: Any = ray.remote(**options)(_Server)
        self._actors = [actor.remote(make) for _ in range(size)]
        self._get([actor.make.remote() for actor in self._actors])

    def map(self, calls: Sequence[TaskT]) -> list[ResultT]:
        """The results of some calls, in their order."""
        actors = itertools.cycle(self._actors)
        return self._get([actor.call.remote(call) for actor, call in zip(actors, calls, strict=False)])

    def _get(self, references: list[Any]) -> list[Any]:
        try:
            while self._ray.wait(references, num_returns=len(references), timeout=_WARN_AFTER_S)[1]:
                log.warning("waiting for the Ray cluster: a classifier has not answered yet")
            return list(self._ray.get(references))
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise ConnectionError(f"Ray's actors were lost ({_first_line(error)})") from error


class _Server:
    """What runs in an actor of a pool. Ray makes it again where it was lost."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make

    def make(self) -> None:
        self._function  # noqa: B018

    def call(self, argument: Any) -> Any:
        return self._function(argument)

    @cached_property
    def _function(self) -> Callable[[Any], Any]:
        return self._make()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]
