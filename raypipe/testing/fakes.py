"""Fakes for what a test must control: time and the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from raypipe.core.clock import Uptime
from raypipe.core.files import LocalDisk


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._up_s = 0.0

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time go by; where negative, the clock is set back, as real clocks are, and no time goes by."""
        self._now += timedelta(seconds=seconds)
        self._up_s += max(0.0, seconds)

    def set_by(self, seconds: float) -> None:
        """Set the clock by so much, while no time goes by."""
        self._now += timedelta(seconds=seconds)

    def uptime(self) -> Uptime:
        """Return how much time has gone by."""
        return Uptime("fake", self._up_s)


class FailingDisk(LocalDisk):
    """A disk that refuses writes with an `errno` of choice, as a full or read-only one does.

    `fails` says by path which writes are refused; by default all are.
    """

    def __init__(self, number: int = errno.ENOSPC, fails: Callable[[Path], bool] = lambda _: True) -> None:
        self._number = number
        self._fails = fails

    def make_folder(self, path: Path) -> None:
        self._check(path)
        super().make_folder(path)

    def write_atomic(self, path: Path, data: bytes) -> None:
        self._check(path)
        super().write_atomic(path, data)

    def _check(self, path: Path) -> None:
        if self._fails(path):
            raise OSError(self._number, os.strerror(self._number), str(path))
