"""The same work on many parts, on the cores of this machine."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")


def in_threads(
    function: Callable[..., Made], *arguments: Iterable[object], n_threads: int | None = None
) -> Iterator[Made]:
    """Call a function for each part in some threads, and yield what it returns in order.

    Few results wait at a time, however many parts there are.
    """
    n_threads = n_threads or os.cpu_count() or 1
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for one in zip(*arguments, strict=False):
                waiting.append(pool.submit(function, *one))
                if len(waiting) > 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
