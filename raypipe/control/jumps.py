"""The controller's time: a clock that somebody sets moves no deadline, in this controller or in the next.

A machine's uptime goes on whatever is done to its clock. The ledger holds what both showed at once; where
they have come apart since, the clock was set, and a `ClockJumped` moves what is waited for by as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from raypipe.control.clock_events import ClockJumped
from raypipe.control.state import Anchor, Retraining, State, Watching
from raypipe.core.clock import Clock, Uptime

TOLERANCE_S = 10.0
"""A clock that is set by less in all is left alone."""


@dataclass
class LookClock:
    """The time of one look: it goes on evenly from `begin`, whatever is done to the clock meanwhile.

    Without `uptime` it is the clock itself, and no jump is ever seen.
    """

    clock: Clock
    uptime: Callable[[], Uptime] | None = None
    _began: Anchor | None = None

    def begin(self) -> Anchor | None:
        """Begin a look; return what clock and uptime show."""
        if self.uptime is None:
            return None
        up = self.uptime()
        self._began = Anchor(self.clock.now(), up.boot, up.seconds)
        return self._began

    def now(self) -> datetime:
        if self.uptime is None or self._began is None:
            return self.clock.now()
        return self._began.at + timedelta(seconds=self.uptime().seconds - self._began.uptime_s)


def jump_between(known: Anchor | None, seen: Anchor | None, controller: int) -> ClockJumped | None:
    """Return by how much the clock was set between two readings of one machine; None where it was not."""
    if known is None or seen is None or known.boot != seen.boot:
        return None
    by_s = (seen.at - known.at).total_seconds() - (seen.uptime_s - known.uptime_s)
    if abs(by_s) < TOLERANCE_S:
        return None
    return ClockJumped(seen.at, by_s, seen.boot, seen.uptime_s, controller=controller)


def jumped(state: State, event: ClockJumped) -> State:
    """Return a state in which all that is waited for has as long to go as before."""

    def moved(at: datetime) -> datetime:
        return min(at + timedelta(seconds=event.by_s), event.at)

    phase = state.phase
    if isinstance(phase, Retraining) and phase.stopping_since is not None:
        phase = replace(phase, stopping_since=moved(phase.stopping_since))
    if not isinstance(phase, Watching):
        phase = replace(phase, since=moved(phase.since))
    return replace(
        state,
        phase=phase,
        decided_at=tuple(map(moved, state.decided_at)),
        spent=tuple(replace(one, at=moved(one.at)) for one in state.spent),
        ended_at=moved(state.ended_at) if state.ended_at else None,
        clock=Anchor(event.at, event.boot, event.uptime_s),
    )
