"""What becomes of the controller's clock, as the ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.control.happening import Happening


@dataclass(frozen=True)
class ClockSetBack(Happening):
    """The clock went back so far that what is in its future was written by a wrong clock."""


@dataclass(frozen=True)
class ClockJumped(Happening):
    """The clock was set by `by_s` seconds, forwards or (negative) backwards: no time went by for that.

    `uptime_s` is how long the machine of `boot` had been up when its clock showed `at`.
    """

    by_s: float
    boot: str
    uptime_s: float
