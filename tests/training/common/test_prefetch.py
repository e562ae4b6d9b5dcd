"""Batches made ahead of the training."""

from __future__ import annotations

import threading
import time

import pytest

from fer_batch.training.common.prefetch import prefetched


@pytest.mark.parametrize("threads", [1, 3])
def test_they_come_in_their_order(threads: int) -> None:
    def slow_if_even(number: int) -> int:
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert list(prefetched(slow_if_even, 20, threads)) == list(range(20))
    assert list(prefetched(slow_if_even, 0, threads)) == []


def test_few_are_made_ahead_and_none_once_nobody_wants_them() -> None:
    made: list[int] = []
    others = set(threading.enumerate())
    batches = prefetched(lambda number: made.append(number) or number, 1000, 2)
    assert next(batches) == 0
    time.sleep(0.05)
    assert len(made) < 10
    batches.close()
    time.sleep(0.05)
    assert len(made) < 10
    assert set(threading.enumerate()) <= others


def test_what_fails_is_raised_in_its_place() -> None:
    def prepare(number: int) -> int:
        if number == 2:
            raise ValueError("the third")
        return number

    batches = prefetched(prepare, 5, 2)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(batches)
