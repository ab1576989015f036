"""What a person who watches is told: facts of the ledger, and how far a retrain is."""

from __future__ import annotations

from collections.abc import Callable

from raypipe.config.settings import Config
from raypipe.control.events import (
    AlertRaised,
    Fact,
    GateContinued,
    GateJudged,
    Promoted,
    PromotionFailed,
    RetrainDecided,
    RetrainFailed,
    RetrainLost,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import read_facts
from raypipe.control.outcome import read_progress
from raypipe.control.rollout_events import CanaryJudged, CanaryStepped, ShadowJudged, ShadowStarted
from raypipe.registry.store import Registry


class News:
    """What has happened to a pipeline since this was made, each told once."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._folder = config.folder
        self._registry = registry
        newest = registry.history(config.name, 1)
        self._seen_seq = newest[0].seq if newest else 0
        self._decision: str | None = None
        self._progress = ""

    def tell(self, say: Callable[[str], None], note: Callable[[Fact], None]) -> None:
        """Tell what is new, oldest first, and hand each new fact on before it is told."""
        for seq, fact in read_facts(self._registry, self._folder.name, after_seq=self._seen_seq):
            self._seen_seq = seq
            self._follow(fact)
            note(fact)
            line = told(fact)
            if line is not None:
                say(line)
        self._tell_progress(say)

    def _follow(self, fact: Fact) -> None:
        match fact:
            case RetrainSubmitted(decision=decision):
                self._decision = decision
            case RetrainSucceeded() | RetrainFailed() | RetrainLost():
                self._decision = None

    def _tell_progress(self, say: Callable[[str], None]) -> None:
        found = "" if self._decision is None else read_progress(self._folder, self._decision)
        if found and found != self._progress:
            self._progress = found
            say(f"{self._decision}: {found}")


def told(fact: Fact) -> str | None:
    """Return what a person is told of a fact, None for what is no news."""
    match fact:
        case RetrainDecided():
            what = "" if fact.action == "retrain" else f", {fact.action}"
            return f"{fact.decision} is decided: {fact.trigger}{what}"
        case RetrainSubmitted():
            return f"{fact.decision} runs as a Ray job"
        case RetrainSucceeded():
            why = f"; {fact.note}" if fact.note else ""
            return f"{fact.decision} made {fact.version}: {fact.family}, {fact.cost_cpu_s} CPU seconds{why}"
        case RetrainFailed():
            return f"{fact.decision} failed: {fact.reason}"
        case GateJudged():
            scores = f"champion {_score(fact.champion_score)}, challenger {_score(fact.challenger_score)}"
            return f"the gate says {fact.verdict}: {scores} ({'; '.join(fact.reasons)})"
        case GateContinued():
            return f"the gate's first look is inconclusive ({'; '.join(fact.reasons)}); later rows judge"
        case Promoted():
            return f"{fact.version} is the champion, epoch {fact.epoch}"
        case PromotionFailed():
            return f"{fact.version} was not promoted: {fact.reason}"
        case AlertRaised():
            return f"alert: {fact.text}"
        case _:
            return _of_rollout(fact)


def _of_rollout(fact: Fact) -> str | None:
    match fact:
        case ShadowStarted():
            return f"{fact.version} is in the shadow of {fact.champion}"
        case ShadowJudged():
            return f"the shadow says {fact.verdict}: {'; '.join(fact.reasons)}"
        case CanaryStepped():
            return f"{fact.version} answers {fact.weight:.0%}, {fact.max_rows} rows at most"
        case CanaryJudged():
            return f"the canary says {fact.verdict}: {'; '.join(fact.reasons)}"
        case _:
            return None


def _score(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
