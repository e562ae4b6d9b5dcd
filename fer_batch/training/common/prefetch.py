"""Batches made in threads while those before them are learnt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")
#: Batches that wait to be learnt.
_AHEAD = 4


def prefetched(prepare: Callable[[int], Batch], count: int, threads: int) -> Iterator[Batch]:
    """`prepare(0)` to `prepare(count - 1)`, in this order; what one of them raises is raised in its place."""
    with ThreadPoolExecutor(threads) as pool:
        pending = deque[Future[Batch]]()
        try:
            for number in range(count):
                pending.append(pool.submit(prepare, number))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
