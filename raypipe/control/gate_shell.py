"""What the controller's shell does about a gate that goes on, through a port that does not decide."""

from __future__ import annotations

import logging
from typing import Protocol

from raypipe.control.actions import WatchGate
from raypipe.control.events import GateScored
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.state import AwaitingLabels, State
from raypipe.core.clock import Clock
from raypipe.core.errors import RaypipeError

_log = logging.getLogger("raypipe.control")


class Sequence(Protocol):
    """Whatever scores challenger and champion on rows whose labels come after a gate's first look."""

    def watch_gate(self, decision: str, version: str, champion: str | None) -> None:
        """See that a process of its own scores both; it may run already. Raises RaypipeError."""
        ...

    def end_gate(self, decision: str) -> None:
        """End what scores them; there may be none. Raises RaypipeError."""
        ...

    def gate_evidence(self, decision: str) -> GateEvidence | None:
        """Return all that was found so far; None before anything was."""
        ...


class GateShell:
    """Acts on a sequence through a port; without one, each gate ends with its first look."""

    def __init__(self, port: Sequence | None, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self._watched: str | None = None

    @property
    def can_go_on(self) -> bool:
        """Whether there is anything that scores later rows."""
        return self._port is not None

    def watch(self, asked: WatchGate) -> None:
        """See that both are scored."""
        if self._port is None:
            return
        self._watched = asked.decision
        try:
            self._port.watch_gate(asked.decision, asked.version, asked.champion)
        except RaypipeError as error:
            # It is tried again at each look, and nothing is decided without evidence.
            _log.warning("%s is not scored beside the champion: %s", asked.version, error)

    def scored(self, state: State, controller: int) -> GateScored | None:
        """Return what the sequence under way has shown, and see that it goes on; one that is over ends."""
        phase = state.phase
        if self._port is None:
            return None
        if not isinstance(phase, AwaitingLabels):
            self._end(self._port)
            return None
        self.watch(WatchGate(phase.decision, phase.version, phase.champion))
        found = self._port.gate_evidence(phase.decision)
        if found is None:
            return None
        return GateScored(self._clock.now(), phase.decision, found, controller=controller)

    def _end(self, port: Sequence) -> None:
        """Let nothing measure on while the decision takes its further way; its own end would, too."""
        if self._watched is not None:
            port.end_gate(self._watched)
            self._watched = None
