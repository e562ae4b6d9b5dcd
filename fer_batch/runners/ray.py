"""Workers on a Ray cluster, by Ray's actors: the same contract as on one machine, on as many as there are.

Each actor makes the function once and is at one task at a time, so that a lost worker or node costs the tasks it held
and no other. Results stream through Ray's generators, which stop a worker that nobody takes results from. Ray
itself retries nothing: whether a lost task is tried again is for the caller to say, as it is for local processes.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic

from fer_batch.errors import UsageError
from fer_batch.runners.base import Loss, MakeFunction, Outcome, Result, Task

log = logging.getLogger(__name__)

#: Results of one task that wait for the consumer.
_RESULTS_PER_TASK = 2
#: Seconds after which the runner looks for late tasks and whether the consumer has left.
_GLANCE = 0.1
#: Seconds without any worker after which that is told, again and again: Ray waits for nodes, people may not.
_PATIENCE = 60.0
#: To Ray, whether a machine may be part of a cluster of several; if not, all that it starts listens on 127.0.0.1.
_LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
#: Workers that may die one after another as they start before it is taken for more than a lost node.
_START_TRIES = 16


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
        raise UsageError("--engine ray needs Ray; install it: pip install 'fer-batch[ray]'") from None
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


class RayRunner(Generic[Task, Result]):
    """Actors that each make the function once and call it on task after task."""

    def __init__(
        self, make: MakeFunction[Task, Result], workers: int, timeout: float | None, address: str | None = None
    ) -> None:
        """`workers`: actors, each with a processor; those the cluster has no room for wait until it has. `timeout`:
        seconds from one result of a task to the next, those in which none was taken excepted. `address`: see
        `connect`."""
        connect(address)
        self._make, self._workers, self._timeout = make, workers, timeout

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome[Task, Result], None, None]:
        """See `Runner.run`. Raises ConnectionError where the cluster's workers do not start."""
        outcomes: queue.Queue[Outcome[Task, Result] | BaseException | None] = queue.Queue(self._workers)
        leaving = threading.Event()
        # A thread of its own, so that workers get their next task also while the consumer is busy.
        thread = threading.Thread(target=self._oversee, args=(iter(tasks), outcomes, leaving), daemon=True)
        thread.start()
        try:
            while (item := outcomes.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            leaving.set()
            thread.join()

    def _oversee(self, tasks: Iterator[Task], outcomes: queue.Queue[Any], leaving: threading.Event) -> None:
        crew: _Crew[Task, Result] = _Crew(self._make, self._workers, self._timeout)
        last: BaseException | None = None
        try:
            while not leaving.is_set() and crew.give_out(tasks):
                for outcome in crew.take():
                    crew.forgive(_put(outcomes, outcome, leaving))
        except BaseException as error:
            last = error
        finally:
            crew.end()
            _put(outcomes, last, leaving)


def _put(outcomes: queue.Queue[Any], item: object, leaving: threading.Event) -> float:
    """Hand on an outcome, unless nothing more is wanted. Returns the seconds that took."""
    before = time.monotonic()
    while not leaving.is_set():
        with suppress(queue.Full):
            outcomes.put(item, timeout=_GLANCE)
            break
    return time.monotonic() - before


class _Crew(Generic[Task, Result]):
    """The actors of a run, and what each is at."""

    def __init__(self, make: MakeFunction[Task, Result], workers: int, timeout: float | None) -> None:
        import ray

        self._ray, self._timeout = ray, timeout
        self._size, self._made_by = workers, ray.put(make)
        self._actor: Any = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(
            _Actor
        )
        #: Actors that have not started yet, by what they will answer; idle ones; and tasks under way, by their results.
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, _Job[Task]] = {}
        self._deaths, self._told = 0, time.monotonic()

    def give_out(self, tasks: Iterator[Task]) -> bool:
        """Give idle actors a task, as long as there are tasks. Returns whether anything is under way.

        An actor gets its task only once it has started: the cluster may never have room for it.
        """
        while self._idle and (task := next(tasks, None)) is not None:
            actor = self._idle.pop()
            results = actor.work.options(
                num_returns="streaming", _generator_backpressure_num_objects=_RESULTS_PER_TASK
            ).remote(task)
            self._busy[results] = _Job(task, actor, time.monotonic())
        if self._idle:  # There are no more tasks, unless those under way bring some up.
            return bool(self._busy)
        while len(self._starting) + len(self._busy) < self._size:
            actor = self._actor.remote(self._made_by)
            self._starting[actor.make.remote()] = actor
        return True

    def take(self) -> Iterator[Outcome[Task, Result]]:
        """What has come since, and what has been lost. Raises what a function raised."""
        waiting = [*self._starting, *self._busy]
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=_GLANCE, fetch_local=False)
        if ready:  # And what else there is, at once.
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        for what in ready:
            if what in self._starting:
                self._welcome(what)
            elif (outcome := self._result(what)) is not None:
                yield outcome
        for results, job in list(self._busy.items()):
            if self._timeout is not None and time.monotonic() - job.started > self._timeout:
                message = f"gave nothing for {self._timeout:g} s; allow more with --timeout"
                yield self._lose(results, Loss.TIMEOUT, message)
        self._tell_of_waiting()

    def forgive(self, seconds: float) -> None:
        """Seconds in which no results were taken, which are held against no task."""
        for job in self._busy.values():
            job.started += seconds

    def end(self) -> None:
        """Stop all actors, whatever they are at."""
        self._dismiss([*self._starting.values(), *self._idle, *(job.actor for job in self._busy.values())])

    def _welcome(self, answer: Any) -> None:
        actor = self._starting.pop(answer)
        try:
            self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            self._deaths += 1
            if self._deaths >= _START_TRIES:
                raise ConnectionError(f"Ray's workers do not start ({_first_line(error)})") from error
            return
        self._deaths = 0
        self._idle.append(actor)

    def _result(self, results: Any) -> Outcome[Task, Result] | None:
        job = self._busy[results]
        try:
            outcome = Outcome(job.task, self._ray.get(next(results)))
            job.started = time.monotonic()
            return outcome
        except StopIteration:
            self._idle.append(self._busy.pop(results).actor)
            return None
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            return self._lose(results, Loss.WORKER_DIED, f"its Ray worker was lost ({_first_line(error)})")

    def _lose(self, results: Any, loss: Loss, message: str) -> Outcome[Task, Result]:
        job = self._busy.pop(results)
        self._dismiss([job.actor])
        return Outcome(job.task, None, loss, message)

    def _dismiss(self, actors: Iterable[Any]) -> None:
        for actor in actors:
            with suppress(Exception):  # It may be gone, and so may the cluster.
                self._ray.kill(actor)

    def _tell_of_waiting(self) -> None:
        now = time.monotonic()
        if self._busy or self._idle:
            self._told = now
        elif now - self._told > _PATIENCE:
            self._told = now
            log.warning("waiting for the Ray cluster: it has no processor free for a worker")


@dataclass
class _Job(Generic[Task]):
    """A task under way: who is at it, and since when nothing came of it (seconds of the monotonic clock)."""

    task: Task
    actor: Any
    started: float


class _Actor:
    """What runs in a worker of Ray's."""

    def __init__(self, make: MakeFunction[Any, Any]) -> None:
        self._make_function = make

    def make(self) -> None:
        """Make the function. Not while the actor is made: Ray would wrap up what it raises beyond recognition."""
        self._function = self._make_function()

    def work(self, task: Any) -> Iterator[Any]:
        yield from self._function(task)


class RayPool(Generic[Task, Result]):
    """Actors that each make a function once; calls are spread over them and give one result each.

    For functions without a memory: calls that an actor or its node took along are made again by Ray, elsewhere.
    """

    def __init__(self, make: Callable[[], Callable[[Task], Result]], size: int, gpus: int, address: str | None) -> None:
        """`size`: actors, each with a processor and so many GPUs. Raises what `make` raises in one of them."""
        connect(address)
        import ray

        self._ray = ray
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": -1, "max_task_retries": 3}
        actor: Any = ray.remote(**options)(_Server)
        self._actors = [actor.remote(make) for _ in range(size)]
        self._get([actor.make.remote() for actor in self._actors])

    def map(self, calls: Sequence[Task]) -> list[Result]:
        """The results of some calls, in their order."""
        actors = itertools.cycle(self._actors)
        return self._get([actor.call.remote(call) for actor, call in zip(actors, calls, strict=False)])

    def _get(self, answers: list[Any]) -> list[Any]:
        try:
            while self._ray.wait(answers, num_returns=len(answers), timeout=_PATIENCE)[1]:
                log.warning("waiting for the Ray cluster: a classifier has not answered yet")
            return list(self._ray.get(answers))
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
