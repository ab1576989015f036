"""What follows in a rollout: by itself, from new evidence, or because a step took too long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from raypipe.control.actions import Action, EndRollout, SetCanary, WatchRollout
from raypipe.control.events import Fact, RolloutScored
from raypipe.control.rollout import (
    Judgement,
    judge_canary,
    judge_shadow,
    rows_of_step,
)
from raypipe.control.rollout_events import (
    CanaryJudged,
    CanaryStarted,
    CanaryStepped,
    ShadowJudged,
    ShadowStarted,
)
from raypipe.control.state import (
    AwaitingApproval,
    AwaitingLabels,
    Canarying,
    Promoting,
    Shadowing,
    State,
)
from raypipe.policy.config import RetrainingSettings
from raypipe.policy.rollout import CanarySettings

_Judged = TypeVar("_Judged", ShadowJudged, CanaryJudged)


def shadow_is_due(phase: AwaitingApproval, settings: RetrainingSettings) -> bool:
    """Return whether a shadow comes before anybody is asked for approval."""
    return settings.rollout.shadow is not None and not phase.shadowed


def canary_is_due(phase: Promoting, settings: RetrainingSettings) -> bool:
    """Return whether a canary comes before the champion's place."""
    return settings.rollout.canary is not None and not phase.canaried and phase.champion is not None


def started(state: State, at: datetime, settings: RetrainingSettings) -> Fact | None:
    """Return the start of a shadow or canary where the state calls for one."""
    match state.phase:
        case AwaitingApproval(decision, version, champion) as phase if shadow_is_due(phase, settings):
            return ShadowStarted(at, decision, version, champion, controller=state.controller)
        case Promoting(decision, version, champion) as phase if canary_is_due(phase, settings):
            return CanaryStarted(at, decision, version, champion, controller=state.controller)
        case _:
            return None


def scored(state: State, seen: RolloutScored, settings: RetrainingSettings) -> Fact | None:
    """Return what new evidence leads to; None while the step holds."""
    phase, rollout = state.phase, settings.rollout
    if not isinstance(phase, Shadowing | Canarying) or phase.decision != seen.decision:
        return None
    waited_s = (seen.at - phase.since).total_seconds()
    if isinstance(phase, Canarying):
        return None if rollout.canary is None else _canary(state, phase, seen, settings, rollout.canary)
    found = seen.evidence.shadow
    if found is None or rollout.shadow is None:
        return None
    judged = judge_shadow(
        found,
        rollout.shadow,
        alpha=rollout.alpha,
        alpha_of_each=rollout.alpha_of_each,
        waited_s=waited_s,
    )
    return None if judged is None else _judged(ShadowJudged, state, phase, seen.at, judged, found.n_rows)


def late(state: State, now: datetime, settings: RetrainingSettings) -> Fact | None:
    """Return the inconclusive end of a step that took too long; a step that is configured no more ends."""
    match state.phase:
        case Shadowing() as phase:
            shadow = settings.rollout.shadow
            if shadow is not None and now - phase.since < timedelta(seconds=shadow.deadline_s):
                return None
            why = "nothing was shown by the deadline of the shadow"
            return _judged(ShadowJudged, state, phase, now, ("inconclusive", (why,)), 0)
        case Canarying() as phase:
            canary = settings.rollout.canary
            if canary is not None and now - phase.since < timedelta(seconds=canary.deadline_s):
                return None
            why = f"nothing was shown by the deadline of step {phase.step + 1} of the canary"
            return _judged(CanaryJudged, state, phase, now, ("inconclusive", (why,)), 0)
        case _:
            return None


def duties(state: State) -> tuple[Action, ...]:
    """Return what a rollout's phase asks for, each of which may be done again."""
    match state.phase:
        case Shadowing(decision, version, champion):
            return (WatchRollout(decision, version, champion),)
        case Canarying(decision, version, champion) as phase:
            watch = WatchRollout(decision, version, champion)
            if phase.step < 0 or phase.epoch is not None:
                return (watch,)
            return (
                watch,
                SetCanary(decision, version, champion, phase.step, phase.weight, phase.max_rows),
            )
        case _:
            return ()


def leftover(state: State) -> tuple[Action, ...]:
    """Return the end of what a decision has had on live traffic, where that is over and was left there."""
    phase, exposed = state.phase, state.exposed
    goes_on = isinstance(phase, AwaitingLabels | Shadowing | AwaitingApproval | Canarying | Promoting)
    if exposed is None or (goes_on and state.decision == exposed):
        return ()
    return (EndRollout(exposed),)


def _canary(
    state: State,
    phase: Canarying,
    seen: RolloutScored,
    settings: RetrainingSettings,
    canary: CanarySettings,
) -> Fact | None:
    if phase.step < 0:
        return _next_step(state, phase, seen, settings, ())
    if phase.epoch is None or phase.epoch not in seen.evidence.canary:
        return None
    found = seen.evidence.canary[phase.epoch]
    judged = judge_canary(
        found,
        canary,
        alpha=settings.rollout.alpha,
        alpha_of_each=settings.rollout.alpha_of_each,
        waited_s=(seen.at - phase.since).total_seconds(),
    )
    if judged is None:
        return None
    if judged[0] == "pass" and phase.step + 1 < len(canary.weights):
        return _next_step(state, phase, seen, settings, judged[1])
    n_rows = sum(one.n_rows for one in seen.evidence.canary.values())
    return _judged(CanaryJudged, state, phase, seen.at, judged, n_rows)


def _next_step(
    state: State,
    phase: Canarying,
    seen: RolloutScored,
    settings: RetrainingSettings,
    reasons: tuple[str, ...],
) -> Fact | None:
    canary, step = settings.rollout.canary, phase.step + 1
    if canary is None:
        return None
    weight = canary.weights[step]
    max_rows = rows_of_step(seen.evidence.baseline, weight, settings.rollout)
    if max_rows is None:
        return None
    return CanaryStepped(
        seen.at, phase.decision, phase.version, step, weight, max_rows, reasons, controller=state.controller
    )


def _judged(
    kind: type[_Judged],
    state: State,
    phase: Shadowing | Canarying,
    at: datetime,
    judged: Judgement,
    n_rows: int,
) -> _Judged:
    verdict, reasons = judged
    return kind(
        at,
        phase.decision,
        phase.version,
        phase.champion,
        verdict,
        n_rows,
        reasons,
        controller=state.controller,
    )
