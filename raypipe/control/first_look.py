"""The gate's first look, as a fact: a verdict, or that later rows go on to judge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from raypipe.control.events import Fact, GateContinued, GateJudged
from raypipe.control.gate import gain_of, verdict_of
from raypipe.control.gate_sequence import goes_on
from raypipe.control.happening import Verdict
from raypipe.control.outcome import Retrained
from raypipe.policy.config import GateSettings


@dataclass(frozen=True)
class Asked:
    """Which challenger is to be judged beside which champion, when, and by the controller of which epoch."""

    at: datetime
    controller: int
    decision: str
    version: str
    champion: str | None


def first_look(asked: Asked, found: Retrained | None, settings: GateSettings, *, can_go_on: bool) -> Fact:
    """Return what the comparison that a retrain left behind comes to; `can_go_on`: later rows count."""
    about = (asked.at, asked.decision, asked.version, asked.champion)
    compared = found.comparison if found is not None else None
    if compared is None or compared.champion != asked.champion:
        verdict: Verdict = "fail" if found is not None and found.error else "inconclusive"
        why = _why_unjudged(found)
        return GateJudged(*about, verdict, n_rows=0, reasons=(why,), controller=asked.controller)
    verdict, reasons = verdict_of(compared, settings)
    judged = GateJudged(
        *about,
        verdict,
        compared.n_rows,
        compared.metric,
        compared.champion_score,
        compared.challenger_score,
        gain_of(compared),
        reasons,
        controller=asked.controller,
    )
    if not can_go_on or not goes_on(verdict, compared, settings):
        return judged
    return GateContinued(
        *about,
        judged.n_rows,
        judged.metric,
        judged.champion_score,
        judged.challenger_score,
        judged.gain,
        judged.reasons,
        controller=asked.controller,
    )


def _why_unjudged(found: Retrained | None) -> str:
    if found is not None and found.error:
        return found.error
    if found is None or found.comparison is None:
        return "its job left no comparison with the champion"
    return "the champion changed in between"
