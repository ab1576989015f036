"""The ledger as memory, in a real registry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.control.events import ControllerStarted, Evidence, Fact, RetrainDecided, RetrainRequested
from raypipe.control.ledger import fact_of, fold, fold_facts, read_facts, record, subject_of
from raypipe.control.state import Retraining
from raypipe.core.errors import RegistryError
from raypipe.registry.store import Registry
from raypipe.registry.values import LedgerEntry
from raypipe.testing.fakes import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)
FACTS: tuple[Fact, ...] = (
    ControllerStarted(AT, 1, "v1", 1, controller=1),
    RetrainRequested(AT, "ann", "new fares"),
    RetrainDecided(AT, "flights-retrain-1", "hand", Evidence(by="ann"), "v1", controller=1),
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    yield Registry(f"sqlite:///{tmp_path / 'r.db'}", FakeClock())


def test_facts_come_back_in_order_among_other_entries(registry: Registry) -> None:
    for fact in FACTS:
        registry.append("flights", "run_started", "r-1", {})
        record(registry, "flights", fact)
        record(registry, "other", FACTS[0])
    assert [fact for _, fact in read_facts(registry, "flights")] == list(FACTS)
    assert [seq for seq, _ in read_facts(registry, "flights", after_seq=2)] == [4, 6]
    assert read_facts(registry, "flights", after_seq=6) == ()
    assert read_facts(registry, "unknown") == ()


class BusyRegistry(Registry):
    """Somebody else writes right after every read."""

    def history(
        self, pipeline: str, limit: int | None = 50, *, after_seq: int = 0
    ) -> tuple[LedgerEntry, ...]:
        found = super().history(pipeline, limit, after_seq=after_seq)
        record(self, pipeline, FACTS[1])
        return found


def test_a_reader_misses_no_fact_while_others_write(tmp_path: Path) -> None:
    registry, seen = BusyRegistry(f"sqlite:///{tmp_path / 'r.db'}", FakeClock()), list[int]()
    for _ in range(5):
        seen += [seq for seq, _ in read_facts(registry, "flights", after_seq=seen[-1] if seen else 0)]
    assert seen == [1, 2, 3, 4]


def test_the_state_folds_from_entries_in_any_order(registry: Registry) -> None:
    for fact in FACTS:
        record(registry, "flights", fact)
    state = fold(registry.history("flights", 100), "flights")
    assert isinstance(state.phase, Retraining)
    assert state == fold_facts(FACTS, "flights")


def test_a_champion_moved_by_any_hand_is_known() -> None:
    detail = {"version": "v4", "previous": "v3", "epoch": 7, "reason": "promoted by hand"}
    state = fold([LedgerEntry("flights", 1, AT, "alias_moved", "champion", detail)], "flights")
    assert (state.champion, state.champion_epoch) == ("v4", 7)


def test_other_aliases_are_not_its_business() -> None:
    detail = {"version": "v4", "previous": None, "epoch": 7, "reason": ""}
    assert fact_of(LedgerEntry("flights", 1, AT, "alias_moved", "challenger", detail)) is None


@pytest.mark.parametrize(
    ("kind", "subject", "detail"),
    [
        ("alias_moved", "champion", {"version": "v4"}),
        ("event.from_the_future", "x", {}),
        ("event.ticked", "", {"at": "2026-01-01T00:00:00Z"}),
        ("event.promoted", "x", {"at": "2026-01-01T00:00:00Z"}),
    ],
)
def test_an_entry_that_cannot_be_understood_is_not_passed_over(
    kind: str, subject: str, detail: dict[str, str]
) -> None:
    with pytest.raises(RegistryError):
        fact_of(LedgerEntry("flights", 1, AT, kind, subject, detail))


def test_subjects() -> None:
    assert [subject_of(fact) for fact in FACTS] == ["controller", "ann", "flights-retrain-1"]
