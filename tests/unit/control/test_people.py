"""What people say to the controller."""

from __future__ import annotations

from datetime import timedelta

import pytest

from raypipe.control.events import (
    Approved,
    ControllerStarted,
    Evidence,
    Fact,
    GateJudged,
    Rejected,
    RetrainDecided,
    RetrainRequested,
    RetrainSubmitted,
    RetrainSucceeded,
)
from raypipe.control.ledger import read_facts, record
from raypipe.control.people import answer, read_state, request_retrain
from raypipe.control.state import AwaitingApproval, Watching
from raypipe.core.errors import RegistryError
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock

PIPELINE, DECISION = "flights", "flights-retrain-1"


@pytest.fixture
def waits(registry: Registry, clock: FakeClock) -> Registry:
    """Return a registry in which v2 waits for an answer."""
    at = clock.now()
    facts: tuple[Fact, ...] = (
        ControllerStarted(at, 9, controller=9),
        RetrainDecided(at, DECISION, "hand", Evidence(), "v1", controller=9),
        RetrainSubmitted(at, DECISION, controller=9),
        RetrainSucceeded(at, DECISION, "v2", "d-2", controller=9),
        GateJudged(at, DECISION, "v2", "v1", "pass", 400, controller=9),
    )
    for fact in facts:
        record(registry, PIPELINE, fact)
    return registry


def said(registry: Registry) -> Fact:
    return read_facts(registry, PIPELINE)[-1][1]


def test_a_request_is_in_the_ledger_with_who_and_why(registry: Registry, clock: FakeClock) -> None:
    request_retrain(registry, PIPELINE, clock, by="ann", note="new fares")
    assert said(registry) == RetrainRequested(clock.now(), "ann", "new fares", "retrain")
    assert read_state(registry, PIPELINE).requested == said(registry)


def test_the_challenger_that_waits_is_answered(waits: Registry, clock: FakeClock) -> None:
    clock.advance(60)
    assert isinstance(read_state(waits, PIPELINE).phase, AwaitingApproval)
    answer(waits, PIPELINE, clock, "v2", approved=False, by="ann", note="not on a Friday")
    assert said(waits) == Rejected(clock.now(), "v2", "ann", "not on a Friday")
    assert read_state(waits, PIPELINE).phase == Watching()


def test_an_answer_is_given_once(waits: Registry, clock: FakeClock) -> None:
    answer(waits, PIPELINE, clock, "v2", approved=True, by="ann")
    assert said(waits) == Approved(clock.now(), "v2", "ann")
    with pytest.raises(RegistryError, match=r"waits for approval \(none of flights does\)\. Got 'v2'"):
        answer(waits, PIPELINE, clock, "v2", approved=False, by="bob")


@pytest.mark.parametrize("version", ["v1", "v3", "v9"])
def test_another_version_is_refused_by_the_name_of_the_one_that_waits(
    waits: Registry, clock: FakeClock, version: str
) -> None:
    n_entries = len(read_facts(waits, PIPELINE))
    with pytest.raises(RegistryError, match=rf"\(v2 of flights does\)\. Got '{version}'"):
        answer(waits, PIPELINE, clock, version, approved=True, by="ann")
    assert len(read_facts(waits, PIPELINE)) == n_entries


def test_an_empty_ledger_rests(registry: Registry) -> None:
    assert read_state(registry, "unknown").phase == Watching()


def test_the_state_knows_when_a_person_spoke(registry: Registry, clock: FakeClock) -> None:
    clock.advance(3600)
    request_retrain(registry, PIPELINE, clock, by="ann")
    requested = read_state(registry, PIPELINE).requested
    assert requested is not None and requested.at - FakeClock().now() == timedelta(hours=1)
