"""How many inferences of each version a replica answered since it started, and how long they took."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field

from raypipe.core.ids import Json
from raypipe.serving.golden import Timer


@dataclass
class _Counts:
    n_rows: int = 0
    n_success: int = 0
    success_s: float = 0.0
    n_fail: int = 0
    fail_s: float = 0.0


@dataclass
class Statistics:
    """Counts by version; safe to add to from several threads."""

    _versions: defaultdict[str, _Counts] = field(default_factory=lambda: defaultdict(_Counts))
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def answered(self, version: str, n_rows: int, took_s: float) -> None:
        """Count a request that was answered."""
        with self._lock:
            counts = self._versions[version]
            counts.n_rows += n_rows
            counts.n_success += 1
            counts.success_s += took_s

    def refused(self, version: str, took_s: float) -> None:
        """Count a request that was not answered."""
        with self._lock:
            counts = self._versions[version]
            counts.n_fail += 1
            counts.fail_s += took_s

    def to_json(self, model: str, version: str) -> Json:
        """Return what the protocol's extension for statistics says of a version, as far as it is measured."""
        with self._lock:
            counts = self._versions[version]
            success: Json = {"count": counts.n_success, "ns": round(1e9 * counts.success_s)}
            fail: Json = {"count": counts.n_fail, "ns": round(1e9 * counts.fail_s)}
            return {
                "name": model,
                "version": version,
                "inference_count": counts.n_rows,
                "inference_stats": {"success": success, "fail": fail},
            }


@dataclass(frozen=True)
class Timed:
    """One request, counted with the time from `since_s` on the timer until it is told how it ended."""

    statistics: Statistics
    timer: Timer
    since_s: float

    def answered(self, version: str, n_rows: int) -> None:
        """Count that it was answered."""
        self.statistics.answered(version, n_rows, self.timer() - self.since_s)

    def refused(self, version: str) -> None:
        """Count that it was not."""
        self.statistics.refused(version, self.timer() - self.since_s)
