"""What the facts of a shadow or canary do to the state."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from raypipe.control.rollout_events import (
    CanaryJudged,
    CanarySet,
    CanaryStarted,
    CanaryStepped,
    RolloutEnded,
    ShadowJudged,
    ShadowStarted,
)
from raypipe.control.state import AwaitingApproval, Canarying, Promoting, Shadowing, State

RolloutFact: TypeAlias = (
    ShadowStarted | ShadowJudged | CanaryStarted | CanaryStepped | CanarySet | CanaryJudged | RolloutEnded
)


def rolled_out(state: State, event: RolloutFact) -> State | None:
    """Return the state after a fact of a rollout; None where it ends the decision."""
    phase = state.phase
    if isinstance(event, RolloutEnded):
        return replace(state, exposed=None) if state.exposed == event.decision else state
    if getattr(phase, "decision", None) != event.decision:
        return state
    match event, phase:
        case ShadowStarted(at), AwaitingApproval(shadowed=False):
            shadow = Shadowing(phase.decision, phase.version, phase.champion, at)
            return replace(state, phase=shadow, exposed=phase.decision)
        case ShadowJudged(at), Shadowing() if event.champion == phase.champion:
            if event.verdict != "pass":
                return None
            waiting = AwaitingApproval(phase.decision, phase.version, phase.champion, at, shadowed=True)
            return replace(state, phase=waiting)
        case CanaryStarted(at), Promoting(canaried=False):
            canary = Canarying(phase.decision, phase.version, phase.champion, at, gated=phase.gated)
            return replace(state, phase=canary, exposed=phase.decision)
        case CanaryStepped(at), Canarying() if event.step == phase.step + 1:
            step, weight, n = event.step, event.weight, event.max_rows
            return replace(
                state, phase=replace(phase, since=at, step=step, weight=weight, max_rows=n, epoch=None)
            )
        case CanarySet(), Canarying() if event.step == phase.step:
            return replace(state, phase=replace(phase, epoch=event.epoch))
        case CanaryJudged(at), Canarying() if event.champion == phase.champion:
            if event.verdict != "pass":
                return None
            asked = (phase.decision, phase.version, phase.champion)
            return replace(state, phase=Promoting(*asked, at, canaried=True, gated=phase.gated))
        case _:
            return state
