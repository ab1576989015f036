"""What people are told unasked. An alert's key keeps it from being raised twice."""

from __future__ import annotations

from datetime import UTC, datetime

from raypipe.control.events import (
    AlertRaised,
    Event,
    Evidence,
    GateJudged,
    Harm,
    PromotionFailed,
    RetrainFailed,
    RetrainLost,
    Trigger,
    WindowScored,
)
from raypipe.control.rollout_events import CanaryJudged, ShadowJudged
from raypipe.policy.config import RetrainingSettings


def alert_on(event: Event) -> AlertRaised | None:
    """Return the alert that a fact is worth whatever the settings are; None for most.

    It follows from the fact alone, so it is in the state as soon as the fact is, and no crash loses it.
    """
    match event:
        case RetrainFailed(at, decision=decision, reason=reason):
            return AlertRaised(at, f"{decision}/failed", f"{decision} failed: {reason}", Evidence())
        case RetrainLost(at, decision=decision):
            text = f"{decision} was lost: nothing knows its job any more"
            return AlertRaised(at, f"{decision}/failed", text, Evidence())
        case GateJudged(at, decision=decision) if event.verdict != "pass":
            return AlertRaised(at, f"{decision}/gate", _stays(event), Evidence())
        case ShadowJudged(at, decision=decision) if event.verdict != "pass":
            text = f"{event.version} was taken out of its shadow: {'; '.join(event.reasons)}"
            return AlertRaised(at, f"{decision}/shadow", text, Evidence())
        case CanaryJudged(at, decision=decision) if event.verdict != "pass":
            text = f"{event.champion} answers all again, {event.version} does not: {'; '.join(event.reasons)}"
            return AlertRaised(at, f"{decision}/canary", text, Evidence())
        case PromotionFailed(at, decision=decision, version=version, reason=reason):
            text = f"{version} of {decision} could not be promoted: {reason}"
            return AlertRaised(at, f"{decision}/promotion", text, Evidence())
        case _:
            return None


def alerts_on_window(
    pipeline: str, window: WindowScored, settings: RetrainingSettings
) -> tuple[AlertRaised, ...]:
    """Return what a window of the champion is worth; raised at most once a day for each version."""
    triggers, found = settings.triggers, list[AlertRaised]()
    quality, bound = window.quality, triggers.quality_bound
    if quality is not None and bound is not None and quality.surely_beyond(bound):
        score = f"{quality.metric} {quality.value}"
        text = f"{window.version} has the live {score}, surely beyond the bound {bound:g}"
        key = daily(f"{pipeline}/quality/{window.version}", window.at)
        evidence = Evidence(n_labels=window.n_labels, quality=quality, quality_bound=bound)
        found.append(AlertRaised(window.at, key, text, evidence))
    if triggers.harm != "off" and window.harm is not None:
        text = f"{window.version} answers worse than at release: {harm_text(window.harm)}"
        key = daily(f"{pipeline}/harm/{window.version}", window.at)
        evidence = Evidence(n_labels=window.n_labels, quality=quality, harm=window.harm)
        found.append(AlertRaised(window.at, key, text, evidence))
    if triggers.drift != "off" and window.drifted:
        text = f"inputs of {window.version} have drifted: {', '.join(window.drifted)}"
        key = daily(f"{pipeline}/drift/{window.version}", window.at)
        evidence = Evidence(n_labels=window.n_labels, drifted=window.drifted)
        found.append(AlertRaised(window.at, key, text, evidence))
    return tuple(found)


def alert_on_cap(pipeline: str, at: datetime, cap: str, evidence: Evidence) -> AlertRaised:
    """Return the alert that a retrain is due and the day has had all it may have."""
    return AlertRaised(at, daily(f"{pipeline}/cap", at), f"a retrain is due, but {cap}", evidence)


def alert_on_trigger(pipeline: str, at: datetime, trigger: Trigger, evidence: Evidence) -> AlertRaised:
    """Return the alert that a trigger asks, where no more than that was wanted."""
    known = f"{evidence.n_new_labels} new labels" if evidence.cost is None else evidence.cost.text
    return AlertRaised(at, daily(f"{pipeline}/{trigger}", at), f"a retrain may be due: {known}", evidence)


def harm_text(harm: Harm) -> str:
    """Return what the loss of a version is, was, and may be."""
    where = f" in {', '.join(harm.slices)}" if harm.slices else ""
    loss = "" if harm.loss is None else f"mean loss {harm.loss:.4g}"
    return f"{loss}{where}, {harm.at_release:.4g} at release, surely above {harm.bound:.4g}"


def daily(key: str, at: datetime) -> str:
    """Return a key that is another one each day, in UTC."""
    return f"{key}/{at.astimezone(UTC):%Y-%m-%d}"


def _stays(judged: GateJudged) -> str:
    why = "; ".join(judged.reasons) or judged.verdict
    return f"{judged.champion or 'the champion'} stays, {judged.version} did not pass its gate: {why}"
