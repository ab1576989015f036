"""A clock for the times of events: it goes on evenly while somebody sets the machine's clock to and fro."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from raypipe.core.clock import Clock

TOLERANCE = timedelta(seconds=1)
"""A clock that is apart by less is followed at once, as it is set by small steps all the time."""
BELIEVED_AFTER_S = 7_200.0
"""A clock that stays apart for so long was set for good."""


class SteadyClock:
    """Shows what `clock` showed at first and the time since, and never goes back; safe for several threads.

    A clock that was set for good is followed after two hours: at once where it is ahead; where it is behind,
    half as fast as time goes by, until both show the same.
    """

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._shown, self._at_s = clock.now(), monotonic()
        self._apart_since_s: float | None = None

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        with self._lock:
            seen, at_s = self._clock.now(), self._monotonic()
            since = timedelta(seconds=at_s - self._at_s)
            self._shown, self._at_s = self._next(seen, since, at_s), at_s
            return self._shown

    def _next(self, seen: datetime, since: timedelta, at_s: float) -> datetime:
        evenly = self._shown + since
        if abs(seen - evenly) <= TOLERANCE:
            self._apart_since_s = None
        elif self._apart_since_s is None:
            self._apart_since_s = at_s
        if self._apart_since_s is not None and at_s - self._apart_since_s < BELIEVED_AFTER_S:
            return evenly
        return max(seen, self._shown + since / 2)
