"""Time as an argument."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Whatever tells the time; `raypipe.testing.FakeClock` tells the time that a test sets."""

    def now(self) -> datetime:
        """Return the current time, aware and in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class Uptime:
    """Seconds since a machine's start, named by `boot`; setting its clock does not change them."""

    boot: str
    seconds: float


def read_uptime() -> Uptime:
    """Return this machine's uptime; where it does not name its starts, that of this process."""
    return Uptime(_boot(), time.monotonic())


@cache
def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"process {os.getpid()}"
