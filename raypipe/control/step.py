"""The controller: from a state and an event to the next state and what shall be done.

Each fact is recorded before what follows from it is done, and `resume` says from the state alone what was
under way; so a controller that dies at any point goes on where it was, and starts nothing twice. The
caller's time is the only time: a month runs in less than a second.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from raypipe.control.actions import (
    Action,
    AskApproval,
    FollowRetrain,
    JudgeChallenger,
    Promote,
    Record,
    Reject,
    SendAlert,
    StopRetrain,
    SubmitRetrain,
)
from raypipe.control.alerts import alert_on_cap, alerts_on_window
from raypipe.control.config import RetrainingSettings
from raypipe.control.events import (
    POLICY,
    AlertRaised,
    Approved,
    ChampionChanged,
    ClockSetBack,
    Event,
    Fact,
    GateJudged,
    Observation,
    Promoted,
    PromotionFailed,
    Rejected,
    RetrainDecided,
    RetrainLost,
    RetrainRequested,
    RetrainTimedOut,
    RolledBack,
    Ticked,
    WindowScored,
)
from raypipe.control.evolve import evolve, is_stale
from raypipe.control.state import (
    AwaitingApproval,
    Gating,
    Promoting,
    Retraining,
    State,
    Watching,
    latest_time,
)
from raypipe.control.triggers import due, may_start

STOP_GRACE = timedelta(minutes=2)
"""How long a job may take to be stopped before it counts as lost."""
CLOCK_TOLERANCE = timedelta(hours=3)
"""A clock that goes back by less is waited for, by more is believed, as cron does."""


def step(state: State, event: Event, settings: RetrainingSettings) -> tuple[State, tuple[Action, ...]]:
    """Take one event; return the state after it and what shall be done, in that order.

    An event that comes twice, or from a controller that was replaced, changes nothing.
    """
    if is_stale(state, event):
        return state, ()
    actions: list[Action] = []
    following: Event | None = event
    while following is not None:
        after = evolve(state, following)
        actions += _acts(state, after, following, settings)
        state = after
        following = _follows(state, event, settings)
    return state, tuple(actions)


def resume(state: State, settings: RetrainingSettings) -> tuple[Action, ...]:
    """Return what a controller that takes over must see to: what is under way, and alerts not known sent."""
    return (*_duties(state, settings), *(_send(alert) for alert in state.unsent))


def _acts(before: State, after: State, event: Event, settings: RetrainingSettings) -> list[Action]:
    """Return what the passage from one state to the next asks for."""
    if after == before:
        return []
    actions: list[Action] = []
    if not isinstance(event, (WindowScored, Ticked)) and not _is_in_ledger(event):
        actions.append(Record(event))
    if after.phase != before.phase:
        actions += [*_rejection(event), *_duties(after, settings)]
    return actions + [_send(alert) for alert in after.unsent if alert not in before.unsent]


def _is_in_ledger(fact: Fact) -> bool:
    """Return whether a person's command wrote the fact, and the controller read it from the ledger."""
    by_people = (RetrainRequested, Approved, Rejected, RolledBack, ChampionChanged)
    return isinstance(fact, by_people) and fact.controller is None


def _duties(state: State, settings: RetrainingSettings) -> tuple[Action, ...]:
    """Return what the phase asks for, each of which may be done again."""
    match state.phase:
        case Watching():
            return ()
        case Retraining() as phase if phase.stopping_since is not None:
            return (StopRetrain(phase.decision),)
        case Retraining() as phase if phase.submitted:
            return (FollowRetrain(phase.decision),)
        case Retraining() as phase:
            return (SubmitRetrain(phase.decision, phase.trigger, phase.evidence),)
        case Gating() as phase:
            return (JudgeChallenger(phase.decision, phase.version, phase.champion),)
        case AwaitingApproval() as phase:
            return () if settings.mode == "auto" else (_ask(phase, settings),)
        case Promoting() as phase:
            return (Promote(phase.decision, phase.version, phase.champion),)
        case _:
            assert_never(state.phase)


def _ask(phase: AwaitingApproval, settings: RetrainingSettings) -> AskApproval:
    until = phase.since + timedelta(seconds=settings.approval.timeout_s)
    return AskApproval(phase.decision, phase.version, until)


def _rejection(event: Event) -> tuple[Action, ...]:
    match event:
        case GateJudged(verdict="fail" | "inconclusive"):
            why = "; ".join(event.reasons) or event.verdict
            return (Reject(event.decision, event.version, why),)
        case PromotionFailed():
            return (Reject(event.decision, event.version, event.reason),)
        case _:
            return ()


def _send(alert: AlertRaised) -> SendAlert:
    return SendAlert(alert.key, alert.text, alert.evidence)


def _follows(state: State, event: Event, settings: RetrainingSettings) -> Fact | None:
    """Return the next fact that the state calls for; the controller's own clock alone moves deadlines."""
    settled = _settled(state, event.at, settings)
    if settled is not None or not isinstance(event, (WindowScored, Ticked)):
        return settled
    latest = latest_time(state)
    if latest is not None and latest - event.at >= CLOCK_TOLERANCE:
        return ClockSetBack(event.at, controller=state.controller)
    return _overdue(state, event.at, settings) or _noticed(state, event, settings)


def _settled(state: State, at: datetime, settings: RetrainingSettings) -> Fact | None:
    """Return what holds already in the phase, without anyone's answer."""
    match state.phase:
        case Gating() as phase if phase.version == phase.champion:
            return _undecided(state, phase, at, "the retrain led to the champion itself")
        case AwaitingApproval() as phase if settings.mode == "auto":
            return Approved(at, phase.version, POLICY, "it passed its gate", controller=state.controller)
        case _:
            return None


def _overdue(state: State, now: datetime, settings: RetrainingSettings) -> Fact | None:
    """Return the end of a wait that took too long; so every retrain ends in a verdict."""
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
        return Promoted(
            now, phase.decision, phase.version, state.champion_epoch, controller=state.controller
        )
    reason = "nothing was heard of its release in time"
    return PromotionFailed(now, phase.decision, phase.version, reason, controller=state.controller)


def _noticed(state: State, seen: Observation, settings: RetrainingSettings) -> Fact | None:
    """Return the next alert that an observation is worth, or else the retrain that it asks for."""
    if isinstance(seen, WindowScored) and seen.version == state.champion:
        for alert in alerts_on_window(state.pipeline, seen, settings):
            if alert.key not in state.alerts:
                return _signed(alert, state)
    asks = due(state, seen, settings) if isinstance(state.phase, Watching) else None
    if asks is None:
        return None
    if may_start(state, asks, seen.at, settings):
        trigger, evidence = asks
        return RetrainDecided(
            seen.at, state.next_decision, trigger, evidence, state.champion, controller=state.controller
        )
    return None
