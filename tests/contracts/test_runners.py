"""One suite over all engines: every task has its results or one error, whatever its worker does.

Ray's workers are started once, on loopback; a test of what is left behind is for each engine's own suite.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fer_batch.errors import WorkerStartError
from fer_batch.runners.base import Outcome, Runner, TaskError
from fer_batch.runners.local import LocalRunner
from fer_batch.runners.ray import RayPool, RayRunner
from tests.helpers.ray_cluster import ray_alone
from tests.helpers.workers import (
    TaskList,
    make_eager_worker,
    make_none,
    make_without_library,
    make_worker,
    make_worker_that_delegates,
)

MakeRunner = Callable[..., Runner[Any, Any]]

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture(scope="module")
def two_ray_workers() -> Iterator[None]:
    with ray_alone(2):
        yield


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=[needs_ray, pytest.mark.slow])])
def runner(request: pytest.FixtureRequest) -> MakeRunner:
    if request.param == "local":
        return LocalRunner
    request.getfixturevalue("two_ray_workers")
    return RayRunner


def run(runner: MakeRunner, tasks: list[str], timeout: float | None = None) -> dict[str, Outcome[str, tuple[str, int]]]:
    outcomes = list(runner(make_worker, 2, timeout).run(TaskList(tasks)))
    assert sorted(outcome.task for outcome in outcomes) == sorted(tasks)
    return {outcome.task: outcome for outcome in outcomes}


def test_every_task_has_its_result_from_another_process(runner: MakeRunner) -> None:
    outcomes = run(runner, [f"task {i}" for i in range(20)])
    results = {task: outcome.result for task, outcome in outcomes.items()}
    assert {task: result[0] for task, result in results.items() if result} == {t: t.upper() for t in results}
    assert os.getpid() not in {result[1] for result in results.values() if result}


def test_results_may_come_from_any_iterator(runner: MakeRunner) -> None:
    outcomes = list(runner(make_worker_that_delegates, 1, None).run(TaskList(["a", "b"])))
    assert [outcome.result for outcome in outcomes] == ["a", "A", "b", "B"]


@pytest.mark.skipif(os.name != "posix", reason="kills its own process")
def test_a_dead_worker_blames_one_task(runner: MakeRunner) -> None:
    outcomes = run(runner, [*(f"task {i}" for i in range(6)), "die", "exit", *(f"more {i}" for i in range(6))])
    lost = {task: outcome.error for task, outcome in outcomes.items() if outcome.result is None}
    assert lost == {"die": TaskError.WORKER_DIED, "exit": TaskError.WORKER_DIED}
    assert all("worker" in outcomes[task].message and "\n" not in outcomes[task].message for task in lost)


def test_a_hanging_task_is_ended(runner: MakeRunner) -> None:
    outcomes = run(runner, ["task", "hang", "other"], timeout=3)
    assert {task for task, outcome in outcomes.items() if outcome.error is TaskError.TIMEOUT} == {"hang"}
    assert "--timeout" in outcomes["hang"].message


def test_a_bug_is_raised_not_swallowed(runner: MakeRunner) -> None:
    with pytest.raises(ValueError, match="raise me"):
        run(runner, ["task", "raise me"])


def test_a_worker_that_can_not_start_ends_it_all(runner: MakeRunner) -> None:
    with pytest.raises(RuntimeError, match="can't be made"):
        list(runner(make_none, 2, None).run(TaskList(["a", "b"])))


def test_workers_that_find_no_library_end_it_with_its_name_and_cost_no_task(runner: MakeRunner) -> None:
    with pytest.raises(WorkerStartError, match=r"can't start.*: ImportError: libGL\.so\.1: cannot open"):
        list(runner(make_without_library, 2, None).run(TaskList(["a", "b"])))


def test_tasks_that_are_added_as_the_last_outcome_is_handled_are_done(runner: MakeRunner) -> None:
    tasks = ["first"]
    outcomes = []
    for outcome in runner(make_worker, 2, None).run(lambda: tasks.pop() if tasks else None):
        time.sleep(0.5)  # Long after every worker is idle.
        outcomes.append(outcome.task)
        if len(outcomes) < 3:
            tasks.append(f"after {outcome.task}")
    assert outcomes == ["first", "after first", "after after first"]


def test_no_task_no_outcome(runner: MakeRunner) -> None:
    assert list(runner(make_worker, 2, None).run(TaskList([]))) == []


def test_few_tasks_are_under_way_at_a_time(runner: MakeRunner) -> None:
    drawn = []

    def tasks() -> Iterator[str]:
        for i in range(50):
            drawn.append(i)
            yield f"task {i}"

    outcomes = runner(make_worker, 2, None).run(TaskList(tasks()))
    next(outcomes)
    assert len(drawn) <= 8
    outcomes.close()
    assert len(drawn) <= 8


def test_results_of_a_task_stream_in_their_order_up_to_a_loss(runner: MakeRunner) -> None:
    tasks = ["60 then end", "40 then die", "20 then hang"]
    outcomes = list(runner(make_worker, 2, 6.0).run(TaskList(tasks)))
    for task, error in zip(tasks, (None, TaskError.WORKER_DIED, TaskError.TIMEOUT), strict=True):
        *first, last = [outcome for outcome in outcomes if outcome.task == task]
        assert [outcome.result[0] for outcome in first if outcome.result] == [str(n) for n in range(len(first))]
        # What a worker had made and nobody had taken yet may be lost with it; what came has no gap.
        assert len(first) == int(task.split()[0]) or (error is not None and len(first) <= int(task.split()[0]))
        assert (last.error, last.result is None) == (error, error is not None)


def test_a_slow_consumer_holds_the_workers_back_and_is_not_held_against_them(
    runner: MakeRunner, tmp_path: Path
) -> None:
    outcomes = runner(make_eager_worker, 1, 2.0).run(TaskList([str(tmp_path / "progress")]))
    next(outcomes)
    time.sleep(4.0)  # Longer than a task may take.
    assert int((tmp_path / "progress").read_text()) < 10
    assert next(outcomes).error is None
    assert next(outcomes).error is None
    outcomes.close()


def make_adder() -> Callable[[int], tuple[int, int]]:
    return lambda number: (number + 1, os.getpid())


def make_frail(place: Path) -> Callable[[int], int]:
    def work(number: int) -> int:
        if number == 3 and not place.exists():
            place.touch()
            os._exit(1)
        return number + 1

    return work


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("two_ray_workers")
def test_a_pool_answers_in_order_from_several_processes() -> None:
    results = RayPool(make_adder, 2, 0, None).map(list(range(9)))
    assert [number for number, _ in results] == list(range(1, 10))
    assert len({pid for _, pid in results} - {os.getpid()}) == 2


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("two_ray_workers")
def test_a_pool_makes_calls_again_that_were_lost(tmp_path: Path) -> None:
    assert RayPool(partial(make_frail, tmp_path / "died"), 2, 0, None).map(list(range(6))) == list(range(1, 7))
    assert (tmp_path / "died").exists()
