"""What a gate would have let pass, as a ledger has it, and what became of it."""

from __future__ import annotations

from collections import Counter

from benchmarks.faults.place import Place
from raypipe.control.events import (
    Evidence,
    Fact,
    GateJudged,
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import record
from raypipe.control.people import read_state
from raypipe.control.receipts import receipts
from raypipe.control.rollout_events import (
    CanaryJudged,
    CanarySet,
    CanaryStarted,
    CanaryStepped,
    RolloutEnded,
    ShadowJudged,
    ShadowStarted,
)
from raypipe.core.clock import SystemClock
from raypipe.data.committer import read_predictions
from raypipe.data.roles import read_role
from raypipe.registry.store import Registry

ONCE = (
    ShadowStarted,
    ShadowJudged,
    CanaryStarted,
    CanaryJudged,
    RolloutEnded,
)


def gated(registry: Registry, pipeline: str, version: str) -> None:
    """Write, as a controller that is gone, that a retrain made a version which passed its gate."""
    state, epoch, at = read_state(registry, pipeline), registry.take_over(pipeline), SystemClock().now()
    decision, champion = state.next_decision, state.champion or registry.alias(pipeline, "champion")
    facts: tuple[Fact, ...] = (
        RetrainDecided(at, decision, "hand", Evidence(), champion, controller=epoch),
        RetrainSubmitted(at, decision, controller=epoch),
        RetrainSucceeded(at, decision, version, "d-0", "d-0", "tiny", controller=epoch),
        GateJudged(at, decision, version, champion, "pass", 400, controller=epoch),
    )
    for fact in facts:
        record(registry, pipeline, fact)


def told_of_canary(place: Place, after_seq: int) -> tuple[str, str, int]:
    """Return how the last decision ended, its canary's rows of those allowed, and how much was done twice."""
    facts, all_facts = place.facts(after_seq), place.facts()
    ending = receipts(all_facts, place.config.name)[-1].ending
    allowed = {fact.step: fact.max_rows for fact in facts if isinstance(fact, CanaryStepped)}
    steps = {fact.epoch: fact.step for fact in facts if isinstance(fact, CanarySet)}
    roles = [read_role(role) for role in read_predictions(place.config.folder, ["role"])["role"].to_pylist()]
    asked = Counter(
        steps[one.epoch] for one in roles if one is not None and one.arm != "control" and one.epoch in steps
    )
    rows = ", ".join(f"{asked[step]} of {most}" for step, most in allowed.items()) or "-"
    kinds = Counter((type(fact), fact.decision) for fact in facts if isinstance(fact, ONCE))
    n_steps = Counter(fact.step for fact in facts if isinstance(fact, CanaryStepped))
    return ending, rows, sum(n > 1 for n in (*kinds.values(), *n_steps.values()))
