"""Everything that the controller acts through, and nothing of how."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from raypipe.control.events import AlertRaised, Evidence, WindowScored
from raypipe.control.gate_shell import Sequence
from raypipe.control.outcome import Retrained
from raypipe.control.rollout_shell import Rollout

JobState = Literal["running", "succeeded", "failed", "unknown"]


class Jobs(Protocol):
    """Whatever runs retrains; the id of a job is the decision's."""

    def submit(self, decision: str) -> None:
        """Start the job of a decision, or find it there already."""
        ...

    def state(self, decision: str) -> JobState: ...

    def stop(self, decision: str) -> None: ...

    def result(self, decision: str) -> Retrained | None:
        """Return what the job left behind, None where it left nothing."""
        ...


class Traffic(Protocol):
    """Whatever measures live traffic."""

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        """Return the newest window, or None where nothing has come since the last one."""
        ...


class Releases(Protocol):
    """Whatever puts a version behind the endpoint."""

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        """Release a version and see the endpoint follow; return the epoch. Raises RaypipeError.

        `controller` is the epoch of whoever asks: one that was replaced moves nothing.
        """
        ...


class Watch(Protocol):
    """Whatever sees more that people should be told."""

    def look(self, at: datetime) -> AlertRaised | None:
        """Return what to tell now, each thing once."""
        ...


class Alerts(Protocol):
    """Whatever tells people."""

    def send(self, key: str, text: str, evidence: Evidence) -> bool:
        """Tell; return whether it arrived."""
        ...


class Mending(Protocol):
    """Whatever ends a release that somebody left half done."""

    def settle(self, controller: int) -> None:
        """See that the endpoint is to answer with the champion; raises RaypipeError."""
        ...


@dataclass(frozen=True)
class Ports:
    """Everything that the controller acts through."""

    jobs: Jobs
    traffic: Traffic
    releases: Releases
    alerts: Alerts
    capture: Watch | None = None
    rollout: Rollout | None = None
    mending: Mending | None = None
    sequence: Sequence | None = None
