"""Receipts: for each decision why it was taken, on what evidence, at what cost, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeAlias, cast

import msgspec

from raypipe.control.alerts import harm_text
from raypipe.control.events import (
    Approved,
    ChampionChanged,
    ControllerStarted,
    Evidence,
    Fact,
    GateContinued,
    GateJudged,
    Promoted,
    PromotionFailed,
    Rejected,
    RetrainDecided,
    RetrainFailed,
    RetrainLost,
    RetrainSucceeded,
    RetrainTimedOut,
    RolledBack,
    Trigger,
)
from raypipe.control.evolve import evolve
from raypipe.control.level import level_text
from raypipe.control.rollout_events import CanaryJudged, CanaryStepped, ShadowJudged
from raypipe.control.state import State, Watching
from raypipe.core.ids import Json
from raypipe.policy.config import RetrainAction

Ending: TypeAlias = Literal[
    "open",
    "promoted",
    "promoted by hand",
    "not better",
    "inconclusive",
    "rejected",
    "withdrawn",
    "failed",
    "timed out",
    "lost",
    "promotion failed",
]
_ENDINGS: Mapping[type[Fact], Ending] = {
    RetrainFailed: "failed",
    RetrainLost: "lost",
    Rejected: "rejected",
    Promoted: "promoted",
    PromotionFailed: "promotion failed",
    ChampionChanged: "promoted by hand",
    RolledBack: "promoted by hand",
    ControllerStarted: "promoted by hand",
}


@dataclass(frozen=True)
class Receipt:
    """One decision to retrain, from why to its verdict; what has not come to pass is None or empty."""

    decision: str
    decided_at: datetime
    trigger: Trigger
    evidence: Evidence
    champion: str | None
    """The champion when it was decided."""
    action: RetrainAction = "retrain"
    version: str | None = None
    data_version: str | None = None
    champion_data_version: str | None = None
    family: str = ""
    params: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    cost_cpu_s: float | None = None
    cost_gpu_s: float | None = None
    """GPUs times the seconds for which trials held them."""
    note: str = ""
    """Why another action was taken than was decided."""
    timed_out: bool = False
    first_look: GateContinued | None = None
    """The gate's first look, where later rows went on to judge."""
    gate: GateJudged | None = None
    answer: Approved | Rejected | None = None
    """The word of a person, or of the policy."""
    rollout: tuple[ShadowJudged | CanaryStepped | CanaryJudged, ...] = ()
    """What became of it on live traffic, step by step."""
    ending: Ending = "open"
    reason: str = ""
    ended_at: datetime | None = None

    def to_json(self) -> Json:
        return cast("Json", msgspec.to_builtins(self))


def receipts(facts: Iterable[Fact], pipeline: str) -> tuple[Receipt, ...]:
    """Return the receipt of each decision, oldest first, from a pipeline's facts, oldest first.

    Facts that the state passed over (twice, too late, of a controller that was replaced) play no part.
    """
    state, found = State(pipeline), dict[str, Receipt]()
    for fact in facts:
        after = evolve(state, fact)
        decision = after.decision or state.decision
        if decision is not None and after.phase != state.phase:
            told = _opened(fact) if isinstance(fact, RetrainDecided) else _told(found[decision], fact)
            found[decision] = _ended(told, fact) if isinstance(after.phase, Watching) else told
        state = after
    return tuple(found.values())


def find(known: Iterable[Receipt], subject: str) -> Receipt | None:
    """Return the newest receipt of a decision or of the version that it made; None where there is none."""
    fits = [receipt for receipt in known if subject in (receipt.decision, receipt.version)]
    return fits[-1] if fits else None


def _opened(fact: RetrainDecided) -> Receipt:
    return Receipt(fact.decision, fact.at, fact.trigger, fact.evidence, fact.champion, fact.action)


def _told(receipt: Receipt, fact: Fact) -> Receipt:
    match fact:
        case RetrainTimedOut():
            return replace(receipt, timed_out=True)
        case RetrainSucceeded():
            return replace(
                receipt,
                version=fact.version,
                data_version=fact.data_version,
                champion_data_version=fact.champion_data_version,
                family=fact.family,
                params=fact.params,
                cost_cpu_s=fact.cost_cpu_s,
                note=fact.note,
                cost_gpu_s=fact.cost_gpu_s,
            )
        case GateContinued():
            return replace(receipt, first_look=fact, reason="; ".join(fact.reasons))
        case GateJudged():
            return replace(receipt, gate=fact, reason="; ".join(fact.reasons))
        case Approved() | Rejected():
            return replace(receipt, answer=fact, reason=fact.note or f"{fact.by} said so")
        case ShadowJudged() | CanaryStepped() | CanaryJudged():
            reason = "; ".join(fact.reasons) or receipt.reason
            return replace(receipt, rollout=(*receipt.rollout, fact), reason=reason)
        case RetrainFailed() | PromotionFailed():
            return replace(receipt, reason=fact.reason)
        case _:
            return receipt


def _ended(receipt: Receipt, fact: Fact) -> Receipt:
    if isinstance(fact, GateJudged):
        ending: Ending = "not better" if fact.verdict == "fail" else "inconclusive"
    elif isinstance(fact, ShadowJudged | CanaryJudged):
        ending = "withdrawn" if fact.verdict == "fail" else "inconclusive"
    else:
        ending = "timed out" if receipt.timed_out and not receipt.version else _ENDINGS[type(fact)]
    return replace(receipt, ending=ending, ended_at=fact.at)


def render(receipt: Receipt) -> tuple[str, ...]:
    """Return the receipt as lines for a person."""
    return tuple(
        line
        for line in (
            f"{receipt.decision}: {receipt.ending}{f' ({receipt.reason})' if receipt.reason else ''}",
            f"  decided    {receipt.decided_at:%Y-%m-%d %H:%M:%S} UTC: {receipt.action}, by {_why(receipt)}",
            _evidence_line(receipt.evidence),
            _made_line(receipt),
            _first_line(receipt.first_look),
            _gate_line(receipt.gate),
            *map(_rollout_line, receipt.rollout),
            _answer_line(receipt.answer),
            receipt.ended_at and f"  ended      {receipt.ended_at:%Y-%m-%d %H:%M:%S} UTC",
        )
        if line
    )


def _why(receipt: Receipt) -> str:
    seen = receipt.evidence
    match receipt.trigger:
        case "hand":
            return f"{seen.by}{f': {seen.note}' if seen.note else ''}"
        case "quality":
            return f"the live quality of {receipt.champion}, beyond its bound {seen.quality_bound}"
        case "harm":
            if seen.harm is None and seen.level is not None:
                return f"{receipt.champion} is not back at the {level_text(seen.level)}, which was harmed"
            found = seen.harm
            return f"harm of {receipt.champion}: {'' if found is None else harm_text(found)}"
        case "cost":
            return f"the cost of keeping {receipt.champion}"
        case "labels":
            return f"{seen.n_new_labels} new labels"
        case "drift":
            return f"drift of {', '.join(seen.drifted)}"
        case "schedule":
            return f"the schedule, for {seen.scheduled_for:%Y-%m-%d %H:%M} UTC"


def _evidence_line(seen: Evidence) -> str:
    parts = []
    if seen.quality is not None:
        score = f"{_number(seen.quality.value)} [{_number(seen.quality.low)}, {_number(seen.quality.high)}]"
        parts.append(f"live {seen.quality.metric} {score} on {seen.quality.n_labels} labels")
    if seen.harm is not None:
        parts.append(f"harm: {harm_text(seen.harm)} on {seen.harm.n_labels} labels")
    if seen.level is not None:
        parts.append(level_text(seen.level))
    if seen.cost is not None:
        parts.append(f"cost: {seen.cost.text}, so {seen.cost.gain:.4g} is saved")
    if seen.drifted:
        parts.append(f"drifted: {', '.join(seen.drifted)}")
    if seen.n_labels is not None:
        parts.append(f"{seen.n_labels} labels in all")
    return f"  evidence   {'; '.join(parts)}" if parts else ""


def _made_line(receipt: Receipt) -> str:
    if receipt.version is None:
        return ""
    cost = "" if receipt.cost_cpu_s is None else f", {receipt.cost_cpu_s:.1f} CPU seconds"
    cost += f", {receipt.cost_gpu_s:.1f} GPU seconds" if receipt.cost_gpu_s else ""
    before = f" (champion: {receipt.champion_data_version})" if receipt.champion_data_version else ""
    made = f"{receipt.version}: {receipt.family or 'a model'} of {receipt.data_version}"
    note = f"; {receipt.note}" if receipt.note else ""
    word = "earlier " if receipt.action == "rollback" else "made    "
    return f"  {word}   {made}{before}{cost}{note}"


def _first_line(first: GateContinued | None) -> str:
    if first is None:
        return ""
    return f"  first look inconclusive: {'; '.join(first.reasons)}; rows that are labelled later judge"


def _gate_line(gate: GateJudged | None) -> str:
    if gate is None:
        return ""
    scores = f"{_number(gate.challenger_score)} against {_number(gate.champion_score)} of {gate.champion}"
    return f"  gate       {gate.verdict}: {gate.metric} {scores} on {gate.n_rows} rows".replace(":  ", ": ")


def _rollout_line(fact: ShadowJudged | CanaryStepped | CanaryJudged) -> str:
    because = f": {'; '.join(fact.reasons)}" if fact.reasons else ""
    if isinstance(fact, CanaryStepped):
        return f"  canary     to {fact.weight:.0%} of the traffic, {fact.max_rows} rows at most{because}"
    step = "shadow" if isinstance(fact, ShadowJudged) else "canary"
    return f"  {step}     {fact.verdict}{because}"


def _answer_line(answer: Approved | Rejected | None) -> str:
    if answer is None:
        return ""
    said = "approved" if isinstance(answer, Approved) else "rejected"
    return f"  answer     {said} by {answer.by}{f': {answer.note}' if answer.note else ''}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
