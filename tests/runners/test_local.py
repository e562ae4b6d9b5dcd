"""What is the local runner's own: messages, processes, deadlines. `tests/contracts/test_runners.py` has the rest."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from fer_batch.runners.base import Loss, Outcome
from fer_batch.runners.local import LocalRunner
from tests.helpers.workers import make_worker


def run(tasks: list[str], workers: int = 2, timeout: float | None = None) -> dict[str, Outcome[str, tuple[str, int]]]:
    outcomes = list(LocalRunner[str, tuple[str, int]](make_worker, workers, timeout).run(tasks))
    assert sorted(outcome.task for outcome in outcomes) == sorted(tasks)
    return {outcome.task: outcome for outcome in outcomes}


@pytest.mark.skipif(os.name != "posix", reason="kills its own process")
def test_a_dead_worker_blames_one_task() -> None:
    outcomes = run([*(f"task {i}" for i in range(6)), "die", "crash", "exit", *(f"more {i}" for i in range(6))])
    lost = {task: (outcome.loss, outcome.message) for task, outcome in outcomes.items() if outcome.result is None}
    assert lost == {
        "die": (Loss.WORKER_DIED, "its worker process died (signal SIGKILL)"),
        "crash": (Loss.WORKER_DIED, "its worker process died (signal SIGSEGV)"),
        "exit": (Loss.WORKER_DIED, "its worker process died (exit status 3)"),
    }


def test_results_of_a_task_stream_in_their_order_up_to_a_loss() -> None:
    tasks = ["300 then end", "200 then die", "100 then hang"]
    outcomes = list(LocalRunner[str, tuple[str, int]](make_worker, 3, 4.0).run(tasks))
    for task, loss in zip(tasks, (None, Loss.WORKER_DIED, Loss.TIMEOUT), strict=True):
        *first, last = [outcome for outcome in outcomes if outcome.task == task]
        assert [outcome.result[0] for outcome in first if outcome.result] == [str(n) for n in range(len(first))]
        assert len(first) == int(task.split()[0])
        assert (last.loss, last.result is None) == (loss, loss is not None)


def make_slow_worker() -> Callable[[str], Iterator[int]]:
    def work(task: str) -> Iterator[int]:
        for number in range(6):
            time.sleep(0.5)
            yield number
        time.sleep(60)

    return work


def test_a_deadline_is_for_silence_not_for_long_work() -> None:
    outcomes = list(LocalRunner[str, int](make_slow_worker, 1, 1.5).run(["long"]))
    assert [outcome.result for outcome in outcomes] == [0, 1, 2, 3, 4, 5, None]
    assert outcomes[-1].loss is Loss.TIMEOUT


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="kills a process and waits for its end")
def test_a_worker_that_dies_while_idle_costs_nothing() -> None:
    def tasks() -> Iterator[str]:
        yield "first"
        pids = []
        while not pids:
            pids = seen.copy()
            time.sleep(0.01)
        os.kill(pids[0], signal.SIGKILL)
        os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
        yield "second"

    seen: list[int] = []
    outcomes = []
    for outcome in LocalRunner[str, tuple[str, int]](make_worker, 1, None).run(tasks()):
        assert outcome.result is not None
        seen.append(outcome.result[1])
        outcomes.append(outcome)
    assert [outcome.task for outcome in outcomes] == ["first", "second"]
    assert len(set(seen)) == 2


def test_no_process_is_left_behind() -> None:
    outcomes = LocalRunner[str, tuple[str, int]](make_worker, 2, None).run(["hang", "task"])
    next(outcomes)
    outcomes.close()
    assert multiprocessing.active_children() == []
