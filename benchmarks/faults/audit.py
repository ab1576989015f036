"""The books after a fault: log rows against answers, and what became of each decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.faults.place import Place
from raypipe.control.events import (
    AlertRaised,
    Fact,
    GateJudged,
    Promoted,
    PromotionFailed,
    Rejected,
    RetrainDecided,
    RetrainFailed,
    RetrainLost,
    RetrainRequested,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.people import read_state
from raypipe.control.rollout_events import CanaryJudged, ShadowJudged
from raypipe.core.home import PipelineHome
from raypipe.data.captured import PredictionRecord, decode
from raypipe.data.committer import read_predictions
from raypipe.data.frames import read_frames
from raypipe.serving.pointer import read_pointer

ENDS = (RetrainFailed, RetrainLost, Promoted, PromotionFailed)
VERDICTS = (GateJudged, ShadowJudged, CanaryJudged)
"""Facts that end a decision unless they are a pass."""
ONCE = (RetrainDecided, RetrainSubmitted, RetrainSucceeded, GateJudged)
"""Facts of which a decision may have one at most, as it may of ends."""


@dataclass(frozen=True)
class Books:
    """What does not add up; all zero where all is well."""

    not_once: int = 0
    """Answers that are not in the table of predictions exactly once."""
    unheard: int = 0
    """Rows of the table whose answer nobody got."""
    doubled: int = 0
    lost: int = 0
    half_released: int = 0
    """Whether alias, pointer and ledger name different champions, or a canary is left."""
    untold: int = 0
    """Alerts that the webhook (if there is one) never got."""

    def __add__(self, other: Books) -> Books:
        return Books(
            self.not_once + other.not_once,
            self.unheard + other.unheard,
            self.doubled + other.doubled,
            self.lost + other.lost,
            self.half_released + other.half_released,
            self.untold + other.untold,
        )


def captured(place: Place) -> Counter[str]:
    """Count each id in the table of predictions."""
    return Counter(read_predictions(place.config.folder)["id"].to_pylist())


def check_release(place: Place) -> Books:
    """Return whether the champion is the same everywhere, and people were told of all."""
    name = place.config.name
    state, pointer = read_state(place.registry, name), read_pointer(place.config.folder.pointer)
    alias = place.registry.alias(name, "champion")
    agrees = pointer is not None and pointer.canary is None and alias == pointer.version == state.champion
    raised = {fact.key for fact in place.facts() if isinstance(fact, AlertRaised)}
    lacking = set() if place.told is None else raised - set(place.told)
    return Books(half_released=not agrees, untold=len(lacking | {one.key for one in state.unsent}))


def is_moved(folder: PipelineHome) -> bool:
    """Return whether the committer has moved every prediction from the write-ahead log."""
    paths = [path for path in folder.wal.glob("*/*") if path.suffix in (".open", ".sealed")]
    try:
        records = [decode(one) for path in paths for one in read_frames(path.read_bytes()).payloads]
    except FileNotFoundError:
        return False  # It was moved just now; others may be left.
    return not any(isinstance(record, PredictionRecord) for record in records)


def compare_log(before: Counter[str], after: Counter[str], ids: Iterable[str], n_others: int = 0) -> Books:
    """Return what does not add up between the answers (and others' rows) and the rows that have come."""
    answered = Counter(ids)
    came = after - before
    not_once = sum(after[id] != 1 or n != 1 for id, n in answered.items())
    return Books(not_once=not_once, unheard=(came - answered).total() - n_others)


def check_decisions(
    facts: Sequence[Fact], versions_by_run: Mapping[str, int], releases: Mapping[str, int]
) -> Books:
    """Return the decisions that were done twice or not to their end, by the facts of the ledger.

    `versions_by_run` counts the versions that each decision's job registered, `releases` how often each
    version became the champion.
    """
    counts = Counter((type(fact), fact.decision) for fact in facts if hasattr(fact, "decision"))
    decided = [fact.decision for fact in facts if isinstance(fact, RetrainDecided)]
    requested = sum(isinstance(fact, RetrainRequested) for fact in facts)
    doubled = sum(_is_doubled(one, counts, facts, versions_by_run, releases) for one in set(decided))
    open_ones = sum(_n_ends(one, facts) == 0 or not counts[RetrainSubmitted, one] for one in set(decided))
    return Books(doubled=doubled, lost=open_ones + max(0, requested - len(set(decided))))


def _is_doubled(
    decision: str,
    counts: Mapping[tuple[type[Fact], str], int],
    facts: Sequence[Fact],
    versions_by_run: Mapping[str, int],
    releases: Mapping[str, int],
) -> bool:
    promoted = [fact.version for fact in facts if isinstance(fact, Promoted) and fact.decision == decision]
    return (
        any(counts.get((kind, decision), 0) > 1 for kind in ONCE)
        or _n_ends(decision, facts) > 1
        or versions_by_run.get(decision, 0) > 1
        or any(releases.get(version, 0) > 1 for version in promoted)
    )


def _n_ends(decision: str, facts: Sequence[Fact]) -> int:
    """Count the ends of a decision; a verdict is one unless it is a pass."""
    mine = [fact for fact in facts if getattr(fact, "decision", None) == decision]
    stays = sum(isinstance(fact, VERDICTS) and fact.verdict != "pass" for fact in mine)
    made = {fact.version for fact in mine if isinstance(fact, GateJudged)}
    rejected = sum(isinstance(fact, Rejected) and fact.version in made for fact in facts)
    return stays + rejected + sum(isinstance(fact, ENDS) for fact in mine)
