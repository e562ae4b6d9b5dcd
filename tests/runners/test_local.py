"""Worker processes of this machine: how they die, how they start, and that none stays. What holds of all runners is in
tests/contracts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fer_batch.errors import WorkerStartError
from fer_batch.runners.base import Outcome, TaskError
from fer_batch.runners.local import LocalRunner
from tests.helpers.workers import FailingStarts, TaskList, make_killed, make_worker


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills its own process")
def test_a_dead_worker_costs_one_task_and_its_cause_is_named() -> None:
    tasks = [*(f"task {i}" for i in range(6)), "die", "crash", "exit", *(f"more {i}" for i in range(6))]
    outcomes: list[Outcome[str, tuple[str, int]]] = list(LocalRunner(make_worker, 2, None).run(TaskList(tasks)))
    assert sorted(outcome.task for outcome in outcomes) == sorted(tasks)
    lost = {outcome.task: (outcome.error, outcome.message) for outcome in outcomes if outcome.result is None}
    assert lost == {
        "die": (TaskError.WORKER_DIED, "its worker process died (signal SIGKILL)"),
        "crash": (TaskError.WORKER_DIED, "its worker process died (signal SIGSEGV)"),
        "exit": (TaskError.WORKER_DIED, "its worker process died (exit status 3)"),
    }


def test_all_results_before_a_death_arrive() -> None:
    tasks = ["300 then end", "200 then die"]
    outcomes = list(LocalRunner(make_worker, 2, None).run(TaskList(tasks)))
    for task, error in zip(tasks, (None, TaskError.WORKER_DIED), strict=True):
        *first, last = [outcome for outcome in outcomes if outcome.task == task]
        assert [outcome.result[0] for outcome in first if outcome.result] == [str(n) for n in range(len(first))]
        assert len(first) == int(task.split()[0])
        assert (last.error, last.result is None) == (error, error is not None)


def make_slow_worker() -> Callable[[str], Iterator[int]]:
    def work(task: str) -> Iterator[int]:
        for number in range(6):
            time.sleep(0.5)
            yield number
        time.sleep(60)

    return work


def test_a_deadline_is_for_silence_not_for_long_work() -> None:
    outcomes = list(LocalRunner[str, int](make_slow_worker, 1, 1.5).run(TaskList(["long"])))
    assert [outcome.result for outcome in outcomes] == [0, 1, 2, 3, 4, 5, None]
    assert outcomes[-1].error is TaskError.TIMEOUT


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="kills a process and waits for its end")
def test_a_worker_that_dies_while_idle_costs_nothing() -> None:
    def tasks() -> Iterator[str]:
        yield "first"
        while not seen:
            time.sleep(0.01)
        os.kill(seen[0], signal.SIGKILL)
        os.waitid(os.P_PID, seen[0], os.WEXITED | os.WNOWAIT)
        yield "second"

    seen: list[int] = []
    outcomes = []
    for outcome in LocalRunner(make_worker, 1, None).run(TaskList(tasks())):
        assert outcome.result is not None
        seen.append(outcome.result[1])
        outcomes.append(outcome)
    assert [outcome.task for outcome in outcomes] == ["first", "second"]
    assert len(set(seen)) == 2


def test_no_process_is_left_behind() -> None:
    outcomes = LocalRunner(make_worker, 2, None).run(TaskList(["hang", "task"]))
    next(outcomes)
    outcomes.close()
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_workers_that_die_as_they_start_end_the_run_with_their_last_words(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(WorkerStartError, match=r"can't start: symbol lookup error.*symbol: x \(exit status 127\)$"):
        list(LocalRunner(make_killed, 2, 60.0).run(TaskList(["a", "b"])))
    assert multiprocessing.active_children() == []
    assert "symbol lookup" not in capfd.readouterr().err  # It is in the message.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_task_is_not_blamed_for_workers_that_did_not_start(tmp_path: Path) -> None:
    outcomes = list(LocalRunner(FailingStarts(tmp_path, 2), 1, 60.0).run(TaskList(["a", "b"])))
    assert [(outcome.task, outcome.error) for outcome in outcomes] == [("a", None), ("b", None)]


def test_scripts_in_the_working_folder_do_not_run_in_place_of_pythons_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    for name in ("random", "signal", "types"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a script of the user')\n")
    (outcome,) = LocalRunner(make_worker, 1, 60.0).run(TaskList(["a"]))
    assert (outcome.error, outcome.result is not None) == (None, True)
    assert "PYTHONSAFEPATH" not in os.environ
