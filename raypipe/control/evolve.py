"""What a fact does to the state, whatever the settings are.

A fact that does not fit the phase it meets, because it came twice, too late, or from a controller that was
replaced, leaves the state as it is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TypeVar, assert_never

from raypipe.control.alerts import alert_on
from raypipe.control.clock_events import ClockJumped, ClockSetBack
from raypipe.control.events import (
    AlertRaised,
    AlertSent,
    Approved,
    ChampionChanged,
    ControllerStarted,
    Event,
    Evidence,
    GateContinued,
    GateJudged,
    GateScored,
    Promoted,
    PromotionFailed,
    Rejected,
    RetrainDecided,
    RetrainFailed,
    RetrainLost,
    RetrainRequested,
    RetrainSubmitted,
    RetrainSucceeded,
    RetrainTimedOut,
    RolledBack,
    RolloutScored,
    Ticked,
    WindowScored,
)
from raypipe.control.evolve_rollout import RolloutFact, rolled_out
from raypipe.control.jumps import jumped
from raypipe.control.level import MAX_UNHELPFUL, Lost, after_harm
from raypipe.control.rollout_events import (
    CanaryJudged,
    CanarySet,
    CanaryStarted,
    CanaryStepped,
    RolloutEnded,
    ShadowJudged,
    ShadowStarted,
)
from raypipe.control.state import (
    DAY,
    N_REMEMBERED,
    Anchor,
    AwaitingApproval,
    AwaitingLabels,
    Canarying,
    Gating,
    Promoting,
    Retraining,
    Shadowing,
    Spent,
    State,
    Watching,
)

T = TypeVar("T")


def evolve(state: State, event: Event) -> State:
    """Return the state after an event; observations leave it as it is."""
    if is_stale(state, event):
        return state
    after = _evolved(state, event)
    alert = None if after == state else alert_on(event)
    return after if alert is None else _aside(after, alert)


def is_stale(state: State, event: Event) -> bool:
    """Return whether an event comes from a controller that was replaced."""
    return event.controller is not None and event.controller < state.controller


def _evolved(state: State, event: Event) -> State:
    match event:
        case WindowScored() | Ticked() | RolloutScored() | GateScored():
            return state
        case ControllerStarted() | ClockSetBack() | RetrainRequested() | AlertRaised() | AlertSent():
            return _aside(state, event)
        case ClockJumped():
            return jumped(state, event)
        case RetrainDecided() | RetrainSubmitted() | RetrainTimedOut():
            return _retraining(state, event)
        case RetrainSucceeded() | RetrainFailed() | RetrainLost():
            return _retrained(state, event)
        case GateJudged() | GateContinued() | Approved() | Rejected():
            return _judged(state, event)
        case ShadowStarted() | ShadowJudged() | RolloutEnded():
            return _rolled_out(state, event)
        case CanaryStarted() | CanaryStepped() | CanarySet() | CanaryJudged():
            return _rolled_out(state, event)
        case Promoted() | PromotionFailed() | RolledBack() | ChampionChanged():
            return _released(state, event)
        case _:
            assert_never(event)


def _aside(
    state: State, event: ControllerStarted | ClockSetBack | RetrainRequested | AlertRaised | AlertSent
) -> State:
    """Apply what happens beside the phases."""
    match event:
        case ControllerStarted():
            return _taken_over(state, event)
        case ClockSetBack(at):
            return _set_back(state, at)
        case RetrainRequested() if event not in state.requests:
            return replace(state, requested=event, requests=_remembered(state.requests, event))
        case AlertRaised(key=key) if key not in state.alerts:
            alerts, unsent = _remembered(state.alerts, key), _remembered(state.unsent, event)
            return replace(state, alerts=alerts, unsent=unsent)
        case AlertSent(key=key):
            return replace(state, unsent=tuple(alert for alert in state.unsent if alert.key != key))
        case RetrainRequested() | AlertRaised():
            return state
        case _:
            assert_never(event)


def _taken_over(state: State, event: ControllerStarted) -> State:
    if event.epoch <= state.controller:
        return state
    same = event.schedule == state.schedule and state.schedule_from is not None
    crowned = state
    if event.champion is not None:
        crowned = _crowned(state, event.champion, event.champion_epoch, event.at)
    return replace(
        crowned,
        controller=event.epoch,
        schedule=event.schedule,
        schedule_from=state.schedule_from if same else event.at,
        clock=_anchor(state.clock, event),
    )


def _anchor(known: Anchor | None, event: ControllerStarted) -> Anchor | None:
    """Return the reading of this start of the machine: the first one, so that no jump since is overlooked."""
    if event.uptime_s is None or (known is not None and known.boot == event.boot):
        return known
    return Anchor(event.at, event.boot, event.uptime_s)


def _set_back(state: State, at: datetime) -> State:
    """Bring what a wrong clock put into the future back to the present."""
    phase = state.phase
    if isinstance(phase, Retraining) and phase.stopping_since is not None:
        phase = replace(phase, stopping_since=min(phase.stopping_since, at))
    if not isinstance(phase, Watching):
        phase = replace(phase, since=min(phase.since, at))
    return replace(
        state,
        phase=phase,
        decided_at=tuple(min(decided, at) for decided in state.decided_at),
        spent=tuple(replace(one, at=min(one.at, at)) for one in state.spent),
        ended_at=min(state.ended_at, at) if state.ended_at else None,
        schedule_from=min(state.schedule_from, at) if state.schedule_from else None,
    )


def _retraining(state: State, event: RetrainDecided | RetrainSubmitted | RetrainTimedOut) -> State:
    match event, state.phase:
        case RetrainDecided(decision=decision), Watching() if decision == state.next_decision:
            return _decided(state, event)
        case RetrainSubmitted(decision=decision), Retraining() as phase if decision == phase.decision:
            return replace(state, phase=replace(phase, submitted=True))
        case RetrainTimedOut(at, decision=decision), Retraining() as phase if decision == phase.decision:
            return replace(state, phase=replace(phase, stopping_since=phase.stopping_since or at))
        case _:
            return state


def _decided(state: State, event: RetrainDecided) -> State:
    known, scheduled = event.evidence.n_labels, event.trigger == "schedule"
    return replace(
        state,
        phase=Retraining(
            event.decision, event.trigger, event.evidence, event.at, state.n_labels, event.action
        ),
        n_decisions=state.n_decisions + 1,
        decided_at=(*(at for at in state.decided_at if at > event.at - DAY), event.at),
        n_labels=state.n_labels if known is None else known,
        lost=_lost(state.lost, event.evidence),
        schedule_from=event.at if scheduled else state.schedule_from,
        requested=None if event.trigger == "hand" else state.requested,
    )


def _lost(known: Lost | None, seen: Evidence) -> Lost | None:
    return known if seen.harm is None else after_harm(known, seen.level, seen.n_labels)


def _retrained(state: State, event: RetrainSucceeded | RetrainFailed | RetrainLost) -> State:
    phase = state.phase
    if not isinstance(phase, Retraining) or phase.decision != event.decision:
        return state
    match event:
        case RetrainSucceeded(at, decision=decision, version=version):
            gating = Gating(decision, version, state.champion, at)
            return replace(state, phase=gating, n_failures=0, spent=_spent(state, event))
        case RetrainFailed() | RetrainLost():
            # What asked for it still holds, so its labels are counted as not learned from.
            failed = replace(state, n_failures=state.n_failures + 1, n_labels=phase.n_labels_before)
            return _ended(failed, event.at)
        case _:
            assert_never(event)


def _spent(state: State, event: RetrainSucceeded) -> tuple[Spent, ...]:
    recent = tuple(one for one in state.spent if one.at > event.at - DAY)
    took = Spent(event.at, event.cost_cpu_s or 0.0, event.cost_gpu_s or 0.0)
    return (*recent, took) if took.cpu_s or took.gpu_s else recent


def _judged(state: State, event: GateJudged | GateContinued | Approved | Rejected) -> State:
    match event, state.phase:
        case GateJudged(at), (Gating() | AwaitingLabels()) as gating if _is_over(event, gating):
            if event.verdict != "pass":
                return _ended(_unhelped(state), at)
            return replace(
                state, phase=AwaitingApproval(gating.decision, gating.version, gating.champion, at)
            )
        case GateContinued(at), Gating() as gating if _is_over(event, gating):
            waiting = AwaitingLabels(gating.decision, gating.version, gating.champion, at)
            return replace(state, phase=waiting, exposed=gating.decision)
        case Approved(at, version=version), (AwaitingApproval() | AwaitingLabels()) as waiting if (
            version == waiting.version
        ):
            gated = isinstance(waiting, AwaitingApproval)
            promoting = Promoting(waiting.decision, waiting.version, waiting.champion, at, gated=gated)
            return replace(state, phase=promoting)
        case (
            Rejected(at, version=version),
            (AwaitingLabels() | AwaitingApproval() | Shadowing() | Canarying()) as phase,
        ) if version == phase.version:
            return _ended(state, at)
        case _:
            return state


def _is_over(verdict: GateJudged | GateContinued, gating: Gating | AwaitingLabels) -> bool:
    """Return whether a verdict answers what was asked, about the champion that is still there."""
    asked = (gating.decision, gating.version, gating.champion)
    return asked == (verdict.decision, verdict.version, verdict.champion)


def _rolled_out(state: State, event: RolloutFact) -> State:
    after = rolled_out(state, event)
    return _ended(_unhelped(state), event.at) if after is None else after


def _unhelped(state: State) -> State:
    n_unhelpful = state.n_unhelpful + 1
    return replace(state, n_unhelpful=n_unhelpful, lost=None if n_unhelpful >= MAX_UNHELPFUL else state.lost)


def _released(state: State, event: Promoted | PromotionFailed | RolledBack | ChampionChanged) -> State:
    match event, state.phase:
        case Promoted(at), Promoting() as phase if phase.decision == event.decision:
            return _ended(_crowned(state, event.version, event.epoch), at)
        case PromotionFailed(at), Promoting() as phase if phase.decision == event.decision:
            return _ended(state, at)
        case RolledBack(at), _ if state.champion_epoch <= event.epoch > state.rollback_epoch:
            rested = replace(state, ended_at=_later(state.ended_at, at), rollback_epoch=event.epoch)
            return _crowned(rested, event.version, event.epoch, at)
        case ChampionChanged(at), _:
            return _crowned(state, event.version, event.epoch, at)
        case _:
            return state


def _crowned(state: State, version: str, epoch: int, at: datetime | None = None) -> State:
    """Put a version in the champion's place, unless a later release did so, and mend the phase it meets."""
    if epoch <= state.champion_epoch:
        return state
    n_unhelpful = state.n_unhelpful if version == state.champion else 0
    state = replace(state, champion=version, champion_epoch=epoch, n_unhelpful=n_unhelpful)
    match state.phase:
        case (Gating() | AwaitingLabels() | Shadowing() | AwaitingApproval() | Canarying()) as phase if (
            phase.version == version
        ):
            # A person was faster than the gate or the policy.
            return _ended(state, at or phase.since)
        case (AwaitingLabels() | Shadowing() | AwaitingApproval() | Canarying()) as phase if (
            phase.champion == version
        ):
            return state  # The same champion under a new epoch, as a canary's step leaves it.
        case (Gating() | AwaitingLabels() | Shadowing() | AwaitingApproval() | Canarying()) as phase:
            # What was shown against the former champion says nothing about this one.
            return replace(state, phase=Gating(phase.decision, phase.version, version, at or phase.since))
        case _:
            return state


def _ended(state: State, at: datetime) -> State:
    """Return to watching; a clock that went back does not shorten the rest."""
    return replace(state, phase=Watching(), ended_at=_later(state.ended_at, *state.decided_at, at))


def _later(*times: datetime | None) -> datetime:
    return max(time for time in times if time is not None)


def _remembered(known: tuple[T, ...], new: T) -> tuple[T, ...]:
    return (*known, new)[-N_REMEMBERED:]
