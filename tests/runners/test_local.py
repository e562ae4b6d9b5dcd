"""The contract of a runner: every task has one outcome, whatever its worker does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from fer_batch.runners.base import Loss, Outcome
from fer_batch.runners.local import LocalRunner


def make_worker() -> Callable[[str], tuple[str, int]]:
    """Tasks say what their worker does: answer, die, hang."""

    def work(task: str) -> tuple[str, int]:
        if task.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.startswith("exit"):
            os._exit(3)
        if task.startswith("hang"):
            time.sleep(60)
        if task.startswith("raise"):
            raise ValueError(task)
        return task.upper(), os.getpid()

    return work


def run(tasks: list[str], workers: int = 2, timeout: float | None = None) -> dict[str, Outcome[str, tuple[str, int]]]:
    outcomes = list(LocalRunner[str, tuple[str, int]](make_worker, workers, timeout).run(tasks))
    assert sorted(outcome.task for outcome in outcomes) == sorted(tasks)
    return {outcome.task: outcome for outcome in outcomes}


def test_every_task_has_its_result_from_another_process() -> None:
    outcomes = run([f"task {i}" for i in range(20)])
    results = {task: outcome.result for task, outcome in outcomes.items()}
    assert {task: result[0] for task, result in results.items() if result} == {t: t.upper() for t in results}
    assert os.getpid() not in {result[1] for result in results.values() if result}


@pytest.mark.skipif(os.name != "posix", reason="kills its own process")
def test_a_dead_worker_blames_one_task() -> None:
    outcomes = run([*(f"task {i}" for i in range(6)), "die", "exit", *(f"more {i}" for i in range(6))])
    lost = {task: (outcome.loss, outcome.message) for task, outcome in outcomes.items() if outcome.result is None}
    assert lost == {
        "die": (Loss.WORKER_DIED, "its worker process died (signal SIGKILL)"),
        "exit": (Loss.WORKER_DIED, "its worker process died (exit status 3)"),
    }


def test_a_hanging_task_is_ended() -> None:
    started = time.monotonic()
    outcomes = run(["task", "hang", "other"], timeout=3)
    assert time.monotonic() - started < 30
    assert {task for task, outcome in outcomes.items() if outcome.loss is Loss.TIMEOUT} == {"hang"}
    assert "--timeout" in outcomes["hang"].message


def test_a_bug_is_raised_not_swallowed() -> None:
    with pytest.raises(ValueError, match="raise me"):
        run(["task", "raise me"])


def test_few_tasks_are_under_way_at_a_time() -> None:
    drawn = []

    def tasks():  # type: ignore[no-untyped-def]
        for i in range(50):
            drawn.append(i)
            yield f"task {i}"

    outcomes = LocalRunner[str, tuple[str, int]](make_worker, 2, None).run(tasks())
    next(outcomes)
    assert len(drawn) <= 8
    outcomes.close()  # type: ignore[attr-defined]
    assert len(drawn) <= 8
