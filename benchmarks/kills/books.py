"""What must add up when all is over, and what did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.kills.place import NAME, Place, course_of
from raypipe.control.events import (
    AlertRaised,
    ChampionChanged,
    Fact,
    GateJudged,
    Promoted,
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import fold_facts, read_facts
from raypipe.control.receipts import receipts
from raypipe.control.rollout_events import CanaryJudged, CanaryStepped, RolloutEnded, ShadowJudged
from raypipe.control.state import Watching
from raypipe.serving.pointer import read_pointer

ONCE = (
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
    ShadowJudged,
    CanaryJudged,
    RolloutEnded,
    Promoted,
)
ENDINGS = {"fine": {"promoted"}, "harm": {"withdrawn"}, "worse": {"not better"}, "silent": {"inconclusive"}}


@dataclass(frozen=True)
class Books:
    """How much happened, and what does not add up."""

    endings: Counter[str]
    n_facts: int
    n_alerts: int
    """Keys that were raised."""
    n_repeated: int
    """Alerts that the webhook got more than once."""
    wrong: tuple[str, ...]


def close(place: Place, told: Counter[str], rolled_back: int) -> Books:
    """Return the books of a place in which nothing is under way; `rolled_back` times a person went back."""
    facts = [fact for _, fact in read_facts(place.registry, NAME)]
    found = receipts(facts, NAME)
    raised = {fact.key for fact in facts if isinstance(fact, AlertRaised)} | set(told)
    state = fold_facts(facts, NAME)
    raised -= {alert.key for alert in state.unsent}
    wrong = (
        *_decisions(place, facts, rolled_back),
        *_releases(place, facts),
        *(f"{key} never reached the webhook" for key in sorted(raised - set(told))),
        *(f"{alert.key} is not sent" for alert in state.unsent),
        *(f"{one.name} is still measured" for one in sorted((place.root / "watched").iterdir())),
        *([] if isinstance(state.phase, Watching) else [f"{state.phase} goes on"]),
        *([] if state.exposed is None else [f"{state.exposed} is not cleared away"]),
    )
    return Books(
        Counter(receipt.ending for receipt in found),
        len(facts),
        len(raised),
        sum(n > 1 for n in told.values()),
        wrong,
    )


def _decisions(place: Place, facts: Sequence[Fact], rolled_back: int) -> Iterable[str]:
    """Yield each decision that was lost, doubled, or ended as it must not."""
    found = receipts(facts, NAME)
    expected = [f"{NAME}-retrain-{n}" for n in range(1, len(found) + 1)]
    if [receipt.decision for receipt in found] != expected:
        yield f"decisions are {[receipt.decision for receipt in found]}"
    counts = Counter((type(fact), fact.decision) for fact in facts if isinstance(fact, ONCE))
    yield from (f"{kind.__name__} of {one} is there {n} times" for (kind, one), n in counts.items() if n > 1)
    steps = Counter((fact.decision, fact.step) for fact in facts if isinstance(fact, CanaryStepped))
    yield from (f"step {step} of {one} came {n} times" for (one, step), n in steps.items() if n > 1)
    gates = Counter((one.decision, one.champion) for one in facts if isinstance(one, GateJudged))
    yield from (f"{one} was judged {n} times against {than}" for (one, than), n in gates.items() if n > 1)
    jobs = Counter(place.jobs.read_text().splitlines())
    yield from (f"the job of {one} began {n} times" for one, n in jobs.items() if n > 1)
    runs = Counter(version.run for version in place.registry.model_versions(NAME))
    yield from (f"{one} made {n} versions" for one, n in runs.items() if n > 1)
    if set(jobs) != set(expected):
        yield f"jobs and decisions differ in {sorted(set(jobs) ^ set(expected))}"
    astray = [one for one in found if one.ending not in ENDINGS[course_of(one.decision)]]
    # A rollback in mid-way makes another champion, which the challenger was not compared with.
    if len(astray) > rolled_back or any(one.ending != "inconclusive" for one in astray):
        yield from (f"{one.decision} ended {one.ending}: {one.reason}" for one in astray)


def _releases(place: Place, facts: Sequence[Fact]) -> Iterable[str]:
    """Yield where alias, pointer and ledger do not name the same, or a version was released twice."""
    alias, pointer = place.registry.alias(NAME, "champion"), read_pointer(place.folder.pointer)
    folded = fold_facts(facts, NAME).champion
    if pointer is None or pointer.canary is not None or not alias == pointer.version == folded:
        yield f"the alias names {alias}, the pointer {pointer}, the ledger {folded}"
    history = place.registry.alias_history(NAME, "champion")
    if [one.epoch for one in history] != sorted({one.epoch for one in history}, reverse=True):
        yield f"two champions share an epoch: {[one.epoch for one in history]}"
    promoted = {fact.version: fact for fact in facts if isinstance(fact, Promoted)}
    crowned = Counter(one.version for one in history if one.previous != one.version and "gate" in one.reason)
    yield from (f"{version} was released {n} times" for version, n in crowned.items() if n > 1)
    if set(crowned) != set(promoted):
        yield f"released are {sorted(crowned)}, promoted {sorted(promoted)}"
    moved = sum(isinstance(fact, ChampionChanged) for fact in facts)
    if moved != len(history):
        yield f"{moved} moves are in the ledger, {len(history)} in the alias's history"
