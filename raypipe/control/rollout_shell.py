"""What the controller's shell does about a rollout, through a port that does not decide."""

from __future__ import annotations

import logging
from typing import Protocol, assert_never

from raypipe.control.actions import EndRollout, SetCanary, WatchRollout
from raypipe.control.events import Fact, RolloutScored
from raypipe.control.rollout_events import CanaryJudged, CanarySet, RolloutEnded
from raypipe.control.rollout_evidence import RolloutEvidence
from raypipe.control.state import Canarying, Shadowing, State
from raypipe.core.clock import Clock
from raypipe.core.errors import ClusterError, RaypipeError

_log = logging.getLogger("raypipe.control")


class Rollout(Protocol):
    """Whatever lets a challenger see live traffic, and measures it there."""

    def watch(self, decision: str, version: str, champion: str | None) -> None:
        """See that a process of its own measures; it may run already. Raises RaypipeError."""
        ...

    def evidence(self, decision: str) -> RolloutEvidence | None:
        """Return all that was measured so far; None before anything was."""
        ...

    def set_canary(self, canary: SetCanary, controller: int) -> int:
        """Let a version answer a part of the traffic, and see the endpoint follow; return the epoch.

        Raises RaypipeError, also where `champion` is no longer the champion.
        """
        ...

    def end(self, decision: str, controller: int) -> None:
        """Let no canary answer, and end what measures; there may be none. Raises RaypipeError."""
        ...


class RolloutShell:
    """Acts on a rollout through a port; without one, no evidence ever comes, and no canary is set."""

    def __init__(self, port: Rollout | None, clock: Clock) -> None:
        self._port = port
        self._clock = clock

    def done(self, action: WatchRollout | SetCanary | EndRollout, controller: int) -> Fact | None:
        """Do one thing, and return what became of it where that is known at once."""
        match action:
            case WatchRollout():
                self._watch(action)
                return None
            case SetCanary():
                return self._set(action, controller)
            case EndRollout(decision):
                if self._port is not None:
                    self._port.end(decision, controller)
                return RolloutEnded(self._clock.now(), decision, controller=controller)
            case _:
                assert_never(action)

    def scored(self, state: State, controller: int) -> RolloutScored | None:
        """Return what the rollout under way has shown, and see that it goes on being measured."""
        phase = state.phase
        if self._port is None or not isinstance(phase, Shadowing | Canarying):
            return None
        self._watch(WatchRollout(phase.decision, phase.version, phase.champion))
        evidence = self._port.evidence(phase.decision)
        if evidence is None:
            return None
        return RolloutScored(self._clock.now(), phase.decision, evidence, controller=controller)

    def _watch(self, asked: WatchRollout) -> None:
        if self._port is None:
            return
        try:
            self._port.watch(asked.decision, asked.version, asked.champion)
        except RaypipeError as error:
            # It is tried again at each look, and nothing goes on without evidence.
            _log.warning("%s is not measured beside the champion: %s", asked.version, error)

    def _set(self, asked: SetCanary, controller: int) -> Fact:
        try:
            if self._port is None:
                raise ClusterError("nothing here can route traffic to a canary")
            epoch = self._port.set_canary(asked, controller)
        except RaypipeError as error:
            reason = f"it could not be put beside {asked.champion}: {error}"
            return CanaryJudged(
                self._clock.now(),
                asked.decision,
                asked.version,
                asked.champion,
                "fail",
                n_rows=0,
                reasons=(reason,),
                controller=controller,
            )
        return CanarySet(
            self._clock.now(), asked.decision, asked.version, asked.step, epoch, controller=controller
        )
