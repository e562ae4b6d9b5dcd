"""Prepare batches in threads while earlier ones are trained on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")
#: Batches prepared in advance.
_PREFETCHED = 4


def prefetched(prepare: Callable[[int], Batch], count: int, threads: int) -> Iterator[Batch]:
    """Yield `prepare(0)` to `prepare(count - 1)` in this order; an exception is raised in place of its batch."""
    with ThreadPoolExecutor(threads) as pool:
        pending = deque[Future[Batch]]()
        try:
            for number in range(count):
                pending.append(pool.submit(prepare, number))
                if len(pending) > _PREFETCHED:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
