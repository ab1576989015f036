"""A gate that goes on: rows whose labels come after an inconclusive first look judge, one after the other.

Neither model was trained or tuned on any of them, and none took part in the first look. The first look passes
a challenger that is not better with a probability of 2.5% at most (one end of its 95% interval), and so does
the whole sequence, however often it is looked at (`raypipe.stats.gains.ALPHA`): 5% together.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from raypipe.control.events import Fact, GateJudged, GateScored
from raypipe.control.gate import Judgement, equal_enough, unscored
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.happening import Verdict
from raypipe.control.state import AwaitingLabels, State
from raypipe.policy.config import GateSettings, RetrainingSettings
from raypipe.training.compare import Comparison


def goes_on(verdict: Verdict, found: Comparison, settings: GateSettings) -> bool:
    """Return whether rows whose labels come later can decide what a first look left open."""
    is_open = verdict == "inconclusive" and settings.wait_labels > 0
    return is_open and found.scale is not None and not found.champion_error


def judge_sequence(seen: GateEvidence, settings: GateSettings) -> Judgement | None:
    """Return the verdict of a sequence so far; None while it goes on."""
    gains, found = seen.gains, seen.found
    broken = unscored(found)
    if broken is not None:
        return broken
    shown = describe_sequence(seen)
    if gains.is_below:
        return "fail", (f"{shown}: surely below retraining.gate.margin, {settings.margin:g}",)
    if gains.is_above and found.n_rows >= settings.min_rows:
        reason = f"{shown}: surely above retraining.gate.margin, {settings.margin:g}"
        return equal_enough(("pass", (reason,)), found, settings)
    if found.n_rows >= settings.wait_labels:
        return "inconclusive", (f"{shown}: retraining.gate.wait_labels allows no more",)
    return None


def describe_sequence(seen: GateEvidence) -> str:
    """Return what a sequence has shown, for a receipt and a status."""
    found = seen.found
    if found.gain is None:
        return f"{found.n_rows} rows were labelled after the first look"
    better = "better" if found.gain >= 0 else "worse"
    return f"{better} by {abs(found.gain):.4g} on {found.n_rows} rows that were labelled after the first look"


def gate_scored(state: State, seen: GateScored, settings: RetrainingSettings) -> Fact | None:
    """Return what new evidence leads to; None while the sequence goes on."""
    phase, found = state.phase, seen.evidence.found
    if not isinstance(phase, AwaitingLabels) or phase.decision != seen.decision:
        return None
    if (found.champion, found.challenger) != (phase.champion, phase.version):
        return None  # It was measured against a former champion.
    judged = judge_sequence(seen.evidence, settings.gate)
    return None if judged is None else _judged(state, phase, seen.at, judged, found)


def gate_late(
    state: State, phase: AwaitingLabels, now: datetime, settings: RetrainingSettings
) -> Fact | None:
    """Return the inconclusive end of a sequence that took too long, or is configured no more."""
    gate = settings.gate
    if gate.wait_labels and now - phase.since < timedelta(seconds=gate.deadline_s):
        return None
    why = f"too few labels came within retraining.gate.deadline_s, {gate.deadline_s:g} s"
    return _judged(state, phase, now, ("inconclusive", (why,)), None)


def _judged(
    state: State, phase: AwaitingLabels, at: datetime, judged: Judgement, found: Comparison | None
) -> GateJudged:
    asked = (phase.decision, phase.version, phase.champion)
    if found is None:
        return GateJudged(at, *asked, judged[0], 0, reasons=judged[1], controller=state.controller)
    return GateJudged(
        at,
        *asked,
        judged[0],
        found.n_rows,
        found.metric,
        found.champion_score,
        found.challenger_score,
        reasons=judged[1],
        controller=state.controller,
    )
