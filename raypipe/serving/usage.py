"""How much is asked of a replica, by whom, and how long answers take: in bounded memory, for display."""

from __future__ import annotations

import threading
from collections import Counter, deque

from raypipe.core.ids import Json

N_LATENCIES = 4_096
"""Of so many newest answers the latency is told."""
MAX_CALLERS = 20
"""Callers that are told by name; all others are one."""
OTHERS = "others"
QUANTILES = (0.5, 0.9, 0.99)
_MAX_NAME = 40


class Usage:
    """Counts requests that were read whole, and answered; safe to use from several threads.

    A latency is from a body's last byte to its answer. A caller is the product that its `User-Agent` names,
    such as `python-requests`.
    """

    def __init__(self) -> None:
        self._latencies_s: deque[float] = deque(maxlen=N_LATENCIES)
        self._callers: Counter[str] = Counter()
        self._n_bytes = 0
        self._n_in_progress = 0
        self._lock = threading.Lock()

    @property
    def n_bytes(self) -> int:
        """Bytes of all bodies."""
        return self._n_bytes

    @property
    def n_in_progress(self) -> int:
        """Requests that are read, and not answered yet."""
        return self._n_in_progress

    def begins(self, n_bytes: int, user_agent: bytes) -> None:
        """Count a request whose body has come."""
        with self._lock:
            self._n_bytes += n_bytes
            self._n_in_progress += 1
            caller = _product(user_agent)
            known = caller in self._callers or len(self._callers) < MAX_CALLERS
            self._callers[caller if known else OTHERS] += 1

    def ends(self, latency_s: float) -> None:
        """Count its answer."""
        with self._lock:
            self._n_in_progress -= 1
            self._latencies_s.append(latency_s)

    def callers(self) -> dict[str, int]:
        """Return the requests of each caller."""
        with self._lock:
            return dict(self._callers)

    def latency_s(self) -> dict[float, float]:
        """Return quantiles of the newest latencies; empty before the first."""
        with self._lock:
            ordered = sorted(self._latencies_s)
        if not ordered:
            return {}
        return {q: ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in QUANTILES}

    def to_json(self) -> Json:
        return {
            "n_bytes": self.n_bytes,
            "n_in_progress": self.n_in_progress,
            "latency_s": {f"p{q * 100:g}": value for q, value in self.latency_s().items()},
            "callers": dict(self.callers()),
        }


def _product(user_agent: bytes) -> str:
    name = user_agent.decode("latin-1").split("/", 1)[0].split(" ", 1)[0].strip()
    return name[:_MAX_NAME] if name.isprintable() and name else "unnamed"
