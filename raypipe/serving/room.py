"""How many requests a replica takes in at once: a crowd that comes at once may, one that stays may not.

A burst is answered a little later, and is gone; a crowd that stays makes every answer late and brings no
more of them. Which of the two it is, its duration tells (Nichols and Jacobson, "Controlling Queue Delay",
ACM Queue 10(5), 2012).
"""

from __future__ import annotations

import time
from collections.abc import Callable

BURST_S = 0.1
"""How long more than the sustained number may be in progress."""
CALM_S = 1.0
"""How long it must have been below that number before another burst may come."""


class Room:
    """Counts requests in progress: up to `most` in a burst, up to `sustained` all the time.

    Call it from one thread.
    """

    def __init__(self, most: int, sustained: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._sustained = min(sustained, most)
        self._now = now
        self._began = self._last = float("-inf")
        self.n_in_progress = 0

    def refusal(self) -> str | None:
        """Return why there is no room for one more, None where there is."""
        n = self.n_in_progress
        if n < self._sustained:
            return None
        now = self._now()
        if now - self._last > CALM_S:
            self._began = now
        self._last = now
        if n >= self._most:
            return f"{self._most:,} requests are in progress (serving.max_ongoing_requests)"
        if now - self._began < BURST_S:
            return None
        return (
            f"{self._sustained:,} requests have been in progress for a while (serving.max_sustained_requests)"
        )

    def __enter__(self) -> None:
        self.n_in_progress += 1

    def __exit__(self, *_: object) -> None:
        self.n_in_progress -= 1
