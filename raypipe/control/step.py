"""The controller: from a state and an event to the next state and what shall be done.

Each fact is recorded before what follows from it is done, and `resume` says from the state alone what was
under way; so a controller that dies at any point goes on where it was, and starts nothing twice. The
caller's time is the only time: a month runs in less than a second.
"""

from __future__ import annotations

from dataclasses import replace
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
    WatchGate,
)
from raypipe.control.alerts import alert_on_cap, alert_on_trigger, alerts_on_window
from raypipe.control.clock_events import ClockSetBack
from raypipe.control.deadlines import overdue, settle
from raypipe.control.events import (
    AlertRaised,
    Approved,
    ChampionChanged,
    Event,
    Fact,
    GateJudged,
    GateScored,
    Observation,
    PromotionFailed,
    Rejected,
    RetrainDecided,
    RetrainLost,
    RetrainRequested,
    RolledBack,
    RolloutScored,
    Ticked,
    WindowScored,
)
from raypipe.control.evolve import evolve, is_stale
from raypipe.control.gate_sequence import gate_scored
from raypipe.control.rollout_events import CanaryJudged, ShadowJudged
from raypipe.control.rollout_step import canary_is_due, duties, leftover, scored, shadow_is_due
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
    cap_of,
    latest_time,
    rested,
)
from raypipe.control.triggers import Due, action_on, due, told_of
from raypipe.policy.config import RetrainingSettings

CLOCK_TOLERANCE = timedelta(hours=3)
"""A clock that goes back by less is waited for, by more is believed, as cron does."""


def step(state: State, event: Event, settings: RetrainingSettings) -> tuple[State, tuple[Action, ...]]:
    """Take one event; return the state after it and what shall be done, in that order.

    An event of this controller that comes twice, or one of a controller that was replaced, changes nothing.
    What people wrote must come once, in the ledger's order: an answer that was too early is none later.
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
    return (*leftover(state), *_duties(state, settings), *(_send(alert) for alert in state.unsent))


def _acts(before: State, after: State, event: Event, settings: RetrainingSettings) -> list[Action]:
    """Return what the passage from one state to the next asks for."""
    if after == before:
        return []
    actions: list[Action] = []
    if not isinstance(event, (WindowScored, Ticked, RolloutScored, GateScored)) and not _is_in_ledger(event):
        actions.append(Record(event))
    if after.phase != before.phase:
        actions += [*leftover(after), *_farewell(before, event), *_duties(after, settings)]
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
        case Retraining() as phase:
            return (_job(phase),)
        case Gating(decision, version, champion):
            return () if version == champion else (JudgeChallenger(decision, version, champion),)
        case AwaitingLabels(decision, version, champion):
            return (WatchGate(decision, version, champion),)
        case Shadowing() | Canarying():
            return duties(state)
        case AwaitingApproval() as phase:
            unasked = settings.mode == "auto" or shadow_is_due(phase, settings)
            return () if unasked else (_ask(phase, settings),)
        case Promoting(decision, version, champion) as phase:
            return () if canary_is_due(phase, settings) else (Promote(decision, version, champion),)
        case _:
            assert_never(state.phase)


def _job(phase: Retraining) -> Action:
    if phase.stopping_since is not None:
        return StopRetrain(phase.decision)
    if phase.submitted:
        return FollowRetrain(phase.decision)
    return SubmitRetrain(phase.decision, phase.trigger, phase.evidence)


def _ask(phase: AwaitingApproval, settings: RetrainingSettings) -> AskApproval:
    until = phase.since + timedelta(seconds=settings.approval.timeout_s)
    return AskApproval(phase.decision, phase.version, until)


def _farewell(before: State, event: Event) -> tuple[Action, ...]:
    """Return what is left to do about a decision that an event ended without a promotion."""
    match event:
        case Rejected() if before.decision is not None:
            why = event.note or f"rejected by {event.by}"
            return (Reject(before.decision, event.version, why),)
        case GateJudged(verdict="fail" | "inconclusive") if event.version != event.champion:
            why = "; ".join(event.reasons) or event.verdict
            return (Reject(event.decision, event.version, why),)
        case ShadowJudged(verdict="fail" | "inconclusive") | CanaryJudged(verdict="fail" | "inconclusive"):
            return (Reject(event.decision, event.version, "; ".join(event.reasons)),)
        case RetrainLost(decision=decision):
            # It may run on somewhere, and the next one shall be alone.
            return (StopRetrain(decision),)
        case PromotionFailed():
            return (Reject(event.decision, event.version, event.reason),)
        case _:
            return ()


def _send(alert: AlertRaised) -> SendAlert:
    return SendAlert(alert.key, alert.text, alert.evidence)


def _follows(state: State, event: Event, settings: RetrainingSettings) -> Fact | None:
    """Return the next fact that the state calls for; the controller's own clock alone moves deadlines."""
    settled = settle(state, event.at, settings)
    if settled is None and isinstance(event, RolloutScored):
        return scored(state, event, settings)
    if settled is None and isinstance(event, GateScored):
        return gate_scored(state, event, settings)
    if settled is not None or not isinstance(event, (WindowScored, Ticked)):
        return settled
    latest = latest_time(state)
    if latest is not None and latest - event.at >= CLOCK_TOLERANCE:
        return ClockSetBack(event.at, controller=state.controller)
    return overdue(state, event.at, settings) or _noticed(state, event, settings)


def _noticed(state: State, seen: Observation, settings: RetrainingSettings) -> Fact | None:
    """Return the next alert that an observation is worth, or else the retrain that it asks for."""
    if isinstance(seen, WindowScored) and seen.version == state.champion:
        for alert in alerts_on_window(state.pipeline, seen, settings):
            if alert.key not in state.alerts:
                return replace(alert, controller=state.controller)
    for trigger, evidence in told_of(state, seen, settings):
        alert = alert_on_trigger(state.pipeline, seen.at, trigger, evidence)
        if alert.key not in state.alerts:
            return replace(alert, controller=state.controller)
    asks = due(state, seen, settings) if isinstance(state.phase, Watching) else None
    if asks is None or not rested(state, seen.at, settings):
        return None
    cap = cap_of(state, seen.at, settings)
    if asks[0] == "hand" or cap is None:
        return _decision(state, asks, seen.at, settings)
    alert = alert_on_cap(state.pipeline, seen.at, cap, asks[1])
    return None if alert.key in state.alerts else replace(alert, controller=state.controller)


def _decision(state: State, asks: Due, at: datetime, settings: RetrainingSettings) -> RetrainDecided:
    trigger, evidence = asks
    return RetrainDecided(
        at,
        state.next_decision,
        trigger,
        evidence,
        state.champion,
        action_on(state, trigger, settings),
        controller=state.controller,
    )
