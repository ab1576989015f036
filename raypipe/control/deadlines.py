"""What follows by itself, or once a wait took too long; so every retrain ends in a verdict."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from raypipe.control.events import (
    POLICY,
    Approved,
    Fact,
    GateJudged,
    Promoted,
    PromotionFailed,
    Rejected,
    RetrainLost,
    RetrainTimedOut,
)
from raypipe.control.gate_sequence import gate_late
from raypipe.control.rollout_step import late, started
from raypipe.control.state import (
    AwaitingApproval,
    AwaitingLabels,
    Canarying,
    Gating,
    Promoting,
    Retraining,
    Shadowing,
    State,
    Watching,
)
from raypipe.policy.config import RetrainingSettings

STOP_GRACE = timedelta(minutes=2)
"""How long a job may take to be stopped before it counts as lost."""


def settle(state: State, at: datetime, settings: RetrainingSettings) -> Fact | None:
    """Return what holds already in the phase, without anyone's answer."""
    begun = started(state, at, settings)
    if begun is not None:
        return begun
    match state.phase:
        case Gating() as phase if phase.version == phase.champion:
            return _undecided(state, phase, at, "the retrain led to the champion itself")
        case AwaitingApproval() as phase if settings.mode == "auto":
            return Approved(at, phase.version, POLICY, "it passed its gate", controller=state.controller)
        case _:
            return None


def overdue(state: State, now: datetime, settings: RetrainingSettings) -> Fact | None:
    """Return the fact that ends a wait which took too long."""
    phase, epoch = state.phase, state.controller
    if isinstance(phase, Watching):
        return None
    waited = now - phase.since
    too_long = waited >= timedelta(seconds=settings.job_timeout_s)
    match phase:
        case Retraining(stopping_since=None):
            return RetrainTimedOut(now, phase.decision, controller=epoch) if too_long else None
        case Retraining():
            stopping = now - (phase.stopping_since or now)
            return RetrainLost(now, phase.decision, controller=epoch) if stopping >= STOP_GRACE else None
        case Gating():
            return _undecided(state, phase, now, "the gate took too long") if too_long else None
        case AwaitingLabels():
            return gate_late(state, phase, now, settings)
        case Shadowing() | Canarying():
            return late(state, now, settings)
        case AwaitingApproval():
            unanswered = waited >= timedelta(seconds=settings.approval.timeout_s)
            return _unanswered(state, phase, now, settings) if unanswered else None
        case Promoting():
            return _unconfirmed(state, phase, now) if too_long else None
        case _:
            assert_never(phase)


def _undecided(state: State, phase: Gating, at: datetime, why: str) -> GateJudged:
    return GateJudged(
        at,
        phase.decision,
        phase.version,
        phase.champion,
        verdict="inconclusive",
        n_rows=0,
        reasons=(why,),
        controller=state.controller,
    )


def _unanswered(state: State, phase: AwaitingApproval, now: datetime, settings: RetrainingSettings) -> Fact:
    approval = settings.approval
    answer = Approved if approval.default == "approve" else Rejected
    note = f"nobody answered within {approval.timeout_s:g} s"
    return answer(now, phase.version, POLICY, note, controller=state.controller)


def _unconfirmed(state: State, phase: Promoting, now: datetime) -> Fact:
    if state.champion == phase.version:
        return Promoted(now, phase.decision, phase.version, state.champion_epoch, controller=state.controller)
    reason = "nothing was heard of its release in time"
    return PromotionFailed(now, phase.decision, phase.version, reason, controller=state.controller)
