"""Connections that ask without pause, and what their answers say of an outage."""

from __future__ import annotations

import itertools
import json
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

LEVEL_S = 3.0
"""How long before the kill the level is taken."""
BACK_RATIO = 0.8


class Load:
    """Connections that ask for one row's prediction again and again, from `start` to `stop`."""

    def __init__(self, url: str, row: object, n_connections: int = 16) -> None:
        self._parts = urlsplit(url)
        self._body = json.dumps({"rows": [row]})
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(n_connections)]
        self.ids: list[str] = []
        self.times: list[float] = []
        """When each answer came, by the monotonic clock."""
        self.failures: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, once the requests under way have been answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.times.sort()

    @property
    def n_sent(self) -> int:
        """All requests, answered or not."""
        return len(self.ids) + self.failures.total()

    def _ask(self) -> None:
        connection = HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=35)
        headers = {"content-type": "application/json"}
        while not self._stop.is_set():
            try:
                connection.request("POST", f"{self._parts.path}/predict", self._body, headers)
                response = connection.getresponse()
                self._took(response.status, response.read())
            except (OSError, HTTPException) as error:
                connection.close()
                self._failed(type(error).__name__)

    def _took(self, status: int, data: bytes) -> None:
        if status != 200:
            self._failed(str(status))
            return
        id = json.loads(data)["predictions"][0]["id"]
        with self._lock:
            self.ids.append(id)
            self.times.append(time.monotonic())

    def _failed(self, reason: str) -> None:
        with self._lock:
            self.failures[reason] += 1
        time.sleep(0.01)


def longest_gap_s(times: Sequence[float]) -> float:
    """Return the longest time between two answers; `times` are in order."""
    return max((later - before for before, later in itertools.pairwise(times)), default=0.0)


def level_before(times: Sequence[float], killed_at: float) -> float:
    """Return the answers a second in the seconds before a kill."""
    return (bisect_left(times, killed_at) - bisect_left(times, killed_at - LEVEL_S)) / LEVEL_S


def normal_at(times: Sequence[float], killed_at: float, works_at: float) -> float | None:
    """Return the first moment, from `works_at` on, at which the last second had its share of answers.

    None where there was none.

    >>> normal_at([i / 100 for i in range(1000)], killed_at=5.0, works_at=6.0)
    6.0
    """
    wanted = BACK_RATIO * level_before(times, killed_at)
    for moment in (works_at, *times[bisect_right(times, works_at) :]):
        if bisect_right(times, moment) - bisect_right(times, moment - 1.0) >= wanted:
            return moment
    return None
