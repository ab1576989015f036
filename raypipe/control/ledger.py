"""The ledger as the controller's memory: facts to entries, entries to the state."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import TYPE_CHECKING, Protocol

from raypipe.control.clock_events import ClockJumped, ClockSetBack
from raypipe.control.events import (
    AlertRaised,
    AlertSent,
    Approved,
    ChampionChanged,
    ControllerStarted,
    Event,
    Fact,
    GateScored,
    Rejected,
    RetrainDecided,
    RetrainRequested,
    RolloutScored,
    Ticked,
    WindowScored,
    from_json,
    kind_of,
    to_json,
)
from raypipe.control.evolve import evolve
from raypipe.control.state import State
from raypipe.core.errors import RegistryError
from raypipe.core.ids import Json
from raypipe.policy.config import RetrainAction

if TYPE_CHECKING:
    from raypipe.registry.values import LedgerEntry

PREFIX = "event."
CHAMPION = "champion"
ANSWERED = "answered"
"""The kind of an answer by a signed link, as the endpoint keeps it."""


class Ledger(Protocol):
    """What the controller needs of a registry, whose methods say more; a backtest has one in memory."""

    def append(
        self, pipeline: str, kind: str, subject: str, detail: Json, *, controller: int | None = None
    ) -> LedgerEntry: ...

    def history(
        self, pipeline: str, limit: int | None = 50, *, after_seq: int = 0
    ) -> tuple[LedgerEntry, ...]: ...

    def take_over(self, pipeline: str) -> int: ...

    def alias(self, pipeline: str, alias: str) -> str | None: ...


def record(registry: Ledger, pipeline: str, fact: Fact) -> LedgerEntry:
    """Append a fact to a pipeline's ledger; raises StaleEpoch for one of a controller that was replaced."""
    kind, subject, detail = f"{PREFIX}{kind_of(fact)}", subject_of(fact), to_json(fact)
    return registry.append(pipeline, kind, subject, detail, controller=fact.controller)


def read_facts(registry: Ledger, pipeline: str, *, after_seq: int = 0) -> tuple[tuple[int, Fact], ...]:
    """Return the facts of a pipeline with the numbers of their entries, oldest first, after a number."""
    # One read, not two: what is written between a count and a read by that count pushes older facts out.
    entries = registry.history(pipeline, None, after_seq=after_seq)
    found = ((entry.seq, fact_of(entry)) for entry in reversed(entries))
    return tuple((seq, fact) for seq, fact in found if fact is not None)


def action_of(registry: Ledger, pipeline: str, decision: str) -> RetrainAction:
    """Return what was decided under an id; raises RegistryError where the ledger knows of none."""
    for _, fact in reversed(read_facts(registry, pipeline)):
        if isinstance(fact, RetrainDecided) and fact.decision == decision:
            return fact.action
    raise RegistryError(f"no decision of {pipeline} has the id {decision!r}.")


def fact_of(entry: LedgerEntry) -> Fact | None:
    """Return the fact that an entry holds; None for what does not concern the controller.

    A move of the alias `champion` concerns it, whoever made it, and so does an answer by a link. Raises
    RegistryError for an event that this version of raypipe does not know: a state without it would be
    another one.
    """
    if entry.kind == "alias_moved" and entry.subject == CHAMPION:
        return _champion_changed(entry)
    if entry.kind == ANSWERED:
        return _answered(entry)
    if not entry.kind.startswith(PREFIX):
        return None
    event: Event = from_json(entry.kind.removeprefix(PREFIX), entry.detail)
    if isinstance(event, (WindowScored, Ticked, RolloutScored, GateScored)):
        raise RegistryError(f"an observation is not kept in the ledger. Got {entry.kind} as {entry.seq}.")
    return event


def fold(entries: Iterable[LedgerEntry], pipeline: str) -> State:
    """Return the state that a pipeline's entries, in any order, lead to; no settings, no other memory."""
    facts = (fact_of(entry) for entry in sorted(entries, key=lambda entry: entry.seq))
    return fold_facts((fact for fact in facts if fact is not None), pipeline)


def fold_facts(facts: Iterable[Fact], pipeline: str) -> State:
    """Return the state that facts lead to, oldest first."""
    return reduce(evolve, facts, State(pipeline))


def subject_of(fact: Fact) -> str:
    """Return what a fact is about: a decision, else a version, else who or what."""
    match fact:
        case ControllerStarted() | ClockSetBack() | ClockJumped():
            return "controller"
        case RetrainRequested(by=by):
            return by
        case AlertRaised(key=key) | AlertSent(key=key):
            return key
        case _:
            return str(getattr(fact, "decision", None) or getattr(fact, "version", ""))


def _answered(entry: LedgerEntry) -> Approved | Rejected:
    """Return what a person said by a signed link."""
    match entry.detail:
        case {"approved": bool(approved), "by": str(by), "note": str(note)}:
            return (Approved if approved else Rejected)(entry.at, entry.subject, by, note)
        case _:
            raise RegistryError(
                f"the entry {entry.seq} of {entry.pipeline} must say approved, by and note. "
                f"Got {entry.detail!r}: it was changed by hand."
            )


def _champion_changed(entry: LedgerEntry) -> ChampionChanged:
    match entry.detail:
        case {"version": str(version), "epoch": int(epoch)}:
            return ChampionChanged(entry.at, version, epoch)
        case _:
            raise RegistryError(
                f"the entry {entry.seq} of {entry.pipeline} must name a version and an epoch. "
                f"Got {entry.detail!r}: it was changed by hand."
            )
