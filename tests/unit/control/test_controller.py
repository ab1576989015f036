"""The controller over a real ledger, in a world of fakes: whole cycles; deaths are in `test_deaths.py`."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from raypipe.control.controller import Controller
from raypipe.control.events import (
    AlertRaised,
    AlertSent,
    Evidence,
    GateJudged,
    RetrainDecided,
    RetrainSubmitted,
    kind_of,
    to_json,
)
from raypipe.control.ledger import fold_facts, record
from raypipe.control.outcome import Retrained
from raypipe.control.people import answer, request_retrain
from raypipe.control.ports import JobState
from raypipe.control.state import AwaitingApproval, Watching
from raypipe.core.errors import (
    ClusterError,
    RaypipeError,
    RegistryError,
    ServingError,
    StaleEpoch,
    StorageError,
)
from raypipe.policy.config import RetrainingSettings
from raypipe.testing.control import World
from raypipe.training.compare import Comparison

PIPELINE, FIRST = "flights", "flights-retrain-1"
SETTINGS = RetrainingSettings.model_validate(
    {"triggers": {"quality_bound": 0.8}, "cool_down_s": 60, "job_timeout_s": 600}
)
BETTER = Comparison("accuracy", "v1", "v2", 400, 0.61, 0.88, 0.27, 0.2, 0.33)
WORSE = Comparison("accuracy", "v1", "v2", 400, 0.88, 0.61, -0.27, -0.33, -0.2)
NO_NUMBERS = Comparison("accuracy", "v1", "v2", 400, 0.61, None, None, None, None)
DAMAGED = replace(NO_NUMBERS, challenger_error="model.ubj is truncated")
NO_CHAMPION = replace(NO_NUMBERS, champion_score=None, champion_error="v1 is gone", challenger_score=0.9)
MADE = Retrained("v2", "d-2", "d-1", "xgboost", {"max_depth": 6}, 81.5, BETTER)


def started(world: World, settings: RetrainingSettings = SETTINGS) -> Controller:
    found = world.controller(settings)
    found.start()
    return found


def ticks(found: Controller, world: World, n: int = 1) -> None:
    for _ in range(n):
        world.clock.advance(1)
        found.tick()


def test_a_whole_cycle(world: World) -> None:
    found = started(world)
    ticks(found, world)
    assert world.started == [FIRST]
    ticks(found, world, 5)
    world.ends(FIRST, "succeeded", MADE)
    ticks(found, world, 5)
    assert (world.champion, world.started) == ("v2", [FIRST])
    assert found.state.phase == Watching()
    kinds = [kind_of(fact) for fact in world.facts if fact.controller is not None]
    assert kinds == [
        "controller_started",
        "alert_raised",
        "retrain_decided",
        "alert_sent",
        "retrain_submitted",
        "retrain_succeeded",
        "gate_judged",
        "approved",
        "promoted",
    ]
    [receipt] = world.receipts
    assert (receipt.trigger, receipt.version, receipt.ending) == ("quality", "v2", "promoted")
    assert (receipt.params, receipt.cost_cpu_s) == ({"max_depth": 6}, 81.5)
    assert receipt.gate is not None and receipt.gate.challenger_score == 0.88


def test_the_state_is_what_the_ledger_folds_to(world: World) -> None:
    found = started(world)
    ticks(found, world, 2)
    assert found.state == fold_facts(world.facts, PIPELINE)
    world.ends(FIRST, "succeeded", MADE)
    ticks(found, world, 3)
    assert found.state == fold_facts(world.facts, PIPELINE)


@pytest.mark.parametrize(
    ("state", "left", "ending", "reason"),
    [
        ("failed", Retrained(error="too few labels"), "failed", "too few labels"),
        ("failed", None, "failed", "without a word"),
        ("succeeded", None, "failed", "without a word"),
        ("unknown", None, "lost", ""),
    ],
)
def test_a_job_that_makes_nothing(
    world: World, state: JobState, left: Retrained | None, ending: str, reason: str
) -> None:
    found = started(world)
    ticks(found, world)
    world.ends(FIRST, state, left)
    ticks(found, world, 2)
    [receipt] = world.receipts
    assert receipt.ending == ending and reason in receipt.reason
    assert (world.champion, f"{FIRST}/failed" in world.told) == ("v1", True)
    assert found.state.phase == Watching()


def test_a_lost_job_that_left_a_version_counts(world: World) -> None:
    found = started(world)
    ticks(found, world)
    world.ends(FIRST, "unknown", MADE)
    ticks(found, world, 2)
    assert (world.champion, world.receipts[0].ending) == ("v2", "promoted")


def test_after_a_failure_it_rests_and_tries_again(world: World) -> None:
    found = started(world)
    ticks(found, world)
    world.ends(FIRST, "failed")
    ticks(found, world, 30)
    assert world.started == [FIRST]
    ticks(found, world, 100)
    assert world.started == [FIRST, "flights-retrain-2"]


def test_a_job_that_takes_too_long_is_stopped(world: World) -> None:
    found = started(world)
    ticks(found, world)
    world.clock.advance(600)
    ticks(found, world)
    assert world.stopped == [FIRST]
    world.ends(FIRST, "failed")
    ticks(found, world)
    [receipt] = world.receipts
    assert (receipt.ending, receipt.timed_out) == ("timed out", True)
    assert found.state.phase == Watching()


@pytest.mark.parametrize("port", ["state", "stop"])
def test_a_dashboard_that_does_not_answer_keeps_no_retrain_alive(world: World, port: str) -> None:
    found = started(world)
    ticks(found, world)
    world.errors[port] = ClusterError("Ray does not tell")
    for _ in range(2):
        world.clock.advance(600)
        try:
            found.tick()
        except ClusterError:
            assert port == "state"
    assert isinstance(found.state.phase, Watching)
    assert [receipt.ending for receipt in world.receipts] == ["timed out"]


def test_a_job_that_ray_does_not_take_has_failed(world: World) -> None:
    world.errors["submit"] = ClusterError("Ray did not take the job")
    found = started(world)
    ticks(found, world)
    assert (world.receipts[0].ending, world.receipts[0].reason) == ("failed", "Ray did not take the job")


@pytest.mark.parametrize(
    ("left", "ending", "why"),
    [
        (replace(MADE, comparison=WORSE), "not better", "better by -0.27"),
        (replace(MADE, comparison=NO_NUMBERS), "not better", "has no score on 400 rows"),
        (replace(MADE, comparison=replace(BETTER, n_rows=20)), "inconclusive", "20 labelled rows"),
        (replace(MADE, comparison=replace(BETTER, gain_low=-0.1)), "inconclusive", "better by 0.27"),
        (replace(MADE, comparison=replace(BETTER, champion="v0")), "inconclusive", "the champion changed"),
        (replace(MADE, comparison=None), "inconclusive", "its job left no comparison"),
        (replace(MADE, comparison=None, error="model.ubj differs"), "not better", "model.ubj differs"),
        (replace(MADE, comparison=DAMAGED), "not better", "v2 cannot be scored: model.ubj is truncated"),
        (replace(MADE, comparison=NO_CHAMPION), "inconclusive", "the champion v1 cannot be scored"),
    ],
)
def test_a_challenger_that_is_not_better_never_serves(
    world: World, left: Retrained, ending: str, why: str
) -> None:
    found = started(world)
    ticks(found, world)
    world.ends(FIRST, "succeeded", left)
    ticks(found, world, 5)
    [receipt] = world.receipts
    assert receipt.gate is not None
    assert (receipt.ending, world.champion) == (ending, "v1")
    assert why in "; ".join(receipt.gate.reasons)
    assert f"{FIRST}/gate" in world.told


def test_nan_is_no_score(world: World) -> None:
    found = started(world)
    ticks(found, world)
    nan = replace(BETTER, challenger_score=math.nan)
    world.ends(FIRST, "succeeded", replace(MADE, comparison=nan))
    ticks(found, world, 2)
    assert (world.receipts[0].ending, world.champion) == ("not better", "v1")


def test_an_endpoint_that_refuses_keeps_its_champion(world: World) -> None:
    world.errors["promote"] = ServingError("replica r1 refuses epoch 4")
    found = started(world)
    ticks(found, world)
    world.ends(FIRST, "succeeded", MADE)
    ticks(found, world, 2)
    [receipt] = world.receipts
    assert (receipt.ending, receipt.reason) == ("promotion failed", "replica r1 refuses epoch 4")
    assert world.champion == "v1"


@pytest.mark.parametrize("fails_at", ["append", "measure", "send", "state"])
def test_what_fails_once_is_made_up_for_by_the_same_controller(world: World, fails_at: str) -> None:
    """The ledger may be locked, or a port may raise: the next tick goes on from the ledger."""
    found = world.controller(SETTINGS, mortal=True)
    found.start()
    for turn in range(20):
        world.errors = {fails_at: RegistryError("locked")} if turn % 2 else {}
        world.clock.advance(1)
        if FIRST in world.running:
            world.ends(FIRST, "succeeded", MADE)
        try:
            found.tick()
        except RegistryError:
            assert turn % 2
    assert (world.started, world.champion) == ([FIRST], "v2")
    assert found.state == fold_facts(world.facts, PIPELINE)


def test_traffic_that_cannot_be_measured_stops_no_clock(world: World) -> None:
    found = started(world, mode("approve", {"timeout_s": 100}))
    ticks(found, world)
    world.ends(FIRST, "succeeded", MADE)
    ticks(found, world)
    world.errors["measure"] = RegistryError("the table predictions cannot be read")
    world.clock.advance(100)
    with pytest.raises(RegistryError, match="predictions"):
        found.tick()
    assert world.receipts[0].ending == "rejected"


def test_the_first_of_two_controllers_ends(world: World) -> None:
    first = started(world)
    second = started(world)
    with pytest.raises(StaleEpoch, match="has taken over"):
        first.tick()
    ticks(second, world)
    assert world.started == [FIRST]


def test_a_replaced_controller_does_nothing_that_its_successor_decided(world: World) -> None:
    first, second = started(world), started(world)
    ticks(second, world)
    n_facts, n_told = len(world.facts), len(world.told)
    with pytest.raises(StaleEpoch):
        first.tick()
    assert (len(world.facts), len(world.told)) == (n_facts, n_told)


def test_what_a_replaced_controller_still_writes_is_refused_and_counts_for_nothing(world: World) -> None:
    first = started(world)
    second = started(world)
    late = RetrainDecided(
        world.clock.now(), FIRST, "drift", Evidence(), "v1", controller=first.state.controller
    )
    with pytest.raises(StaleEpoch):
        record(world.registry, PIPELINE, late)
    # As one of an older release does, which says nothing of its epoch to the registry.
    world.registry.append(PIPELINE, "event.retrain_decided", FIRST, to_json(late))
    ticks(second, world)
    assert world.receipts[0].trigger == "quality"
    assert second.state == fold_facts(world.facts, PIPELINE)


def mode(name: str, approval: dict[str, object] | None = None) -> RetrainingSettings:
    given: dict[str, object] = {"mode": name, "triggers": {"quality_bound": 0.8}}
    return RetrainingSettings.model_validate(given | ({"approval": approval} if approval else {}))


def waiting(world: World) -> Controller:
    """Return a controller whose challenger v2 waits for approval."""
    found = started(world, mode("approve"))
    ticks(found, world)
    world.ends(FIRST, "succeeded", MADE)
    ticks(found, world, 2)
    assert isinstance(found.state.phase, AwaitingApproval)
    assert world.champion == "v1"
    return found


def test_an_approved_challenger_serves(world: World) -> None:
    found = waiting(world)
    assert world.told.count(f"{FIRST}/approval") == 1
    answer(world.registry, PIPELINE, world.clock, "v2", approved=True, by="ann", note="looks right")
    ticks(found, world)
    [receipt] = world.receipts
    assert (world.champion, receipt.ending, receipt.answer and receipt.answer.by) == ("v2", "promoted", "ann")
    assert found.state == fold_facts(world.facts, PIPELINE)


def test_a_rejected_challenger_does_not(world: World) -> None:
    found = waiting(world)
    answer(world.registry, PIPELINE, world.clock, "v2", approved=False, by="ann", note="not on a Friday")
    ticks(found, world)
    assert (world.champion, world.receipts[0].ending) == ("v1", "rejected")


def test_a_restart_asks_for_approval_once(world: World) -> None:
    waiting(world)
    second = started(world, mode("approve"))
    ticks(second, world, 40)
    assert world.told.count(f"{FIRST}/approval") == 1


def test_a_request_for_approval_is_sent_until_it_arrives(world: World) -> None:
    world.webhook_is_up = False
    found = waiting(world)
    world.webhook_is_up = True
    ticks(found, world, 31)
    assert f"{FIRST}/approval" in world.told


def test_an_alert_is_sent_again_until_the_webhook_takes_it(world: World) -> None:
    world.webhook_is_up = False
    found = started(world)
    ticks(found, world, 2)
    assert [alert.key for alert in found.state.unsent] == ["flights/quality/v1/2026-01-01"]
    ticks(found, world, 60)
    assert world.told == []
    world.webhook_is_up = True
    ticks(found, world, 31)
    assert world.told == ["flights/quality/v1/2026-01-01"]
    ticks(found, world, 60)
    assert (len(world.told), found.state.unsent) == (1, ())


def test_a_webhook_that_is_down_is_asked_once_in_a_while(world: World) -> None:
    """Each try may take seconds, and there may be many alerts."""
    world.webhook_is_up = False
    found = started(world)
    ticks(found, world)
    world.ends(FIRST, "failed")
    ticks(found, world)
    assert len(found.state.unsent) == 2
    n_sends = world.n_sends
    ticks(found, world, 29)
    assert world.n_sends == n_sends
    ticks(found, world, 2)
    assert world.n_sends == n_sends + 1


def test_a_person_who_asks_gets_a_retrain(world: World) -> None:
    world.scores["v1"] = 0.95
    found = started(world, mode("manual"))
    ticks(found, world)
    assert world.started == []
    request_retrain(world.registry, PIPELINE, world.clock, by="ann", note="new fares")
    ticks(found, world, 3)
    assert (world.started, world.receipts[0].evidence.by) == ([FIRST], "ann")


def test_labels_that_were_learned_from_are_not_counted_again(world: World) -> None:
    """A person asks while no traffic comes: the retrain takes all labels that are known, so none is new."""
    world.scores["v1"] = 0.95
    settings = RetrainingSettings.model_validate({"triggers": {"new_labels": 600}, "cool_down_s": 0})
    found = started(world, settings)
    ticks(found, world)
    world.traffic_flows = False
    request_retrain(world.registry, PIPELINE, world.clock, by="ann")
    ticks(found, world)
    assert world.receipts[0].evidence.n_labels == 500
    assert found.state.n_labels == 500


def test_a_champion_that_a_person_changes_just_before_the_verdict_keeps_its_place(world: World) -> None:
    """The move is in the ledger before the verdict, but the controller has not read it when it judges."""
    found = started(world)
    ticks(found, world)

    def race() -> None:
        if world.champion == "v1":
            world.registry.set_alias(PIPELINE, "champion", "v3", reason="by hand")

    world.scores["v3"] = 0.95
    world.ends(FIRST, "succeeded", MADE)
    world.before_result = race
    ticks(found, world, 5)
    assert world.champion == "v3"
    assert found.state == fold_facts(world.facts, PIPELINE)
    assert isinstance(found.state.phase, Watching)
    assert world.receipts[0].ending == "inconclusive"


def test_a_clock_that_goes_back_an_hour_starts_nothing_more(world: World) -> None:
    world.webhook_is_up = False
    found = started(world)
    ticks(found, world)
    world.clock.advance(-3600)
    world.webhook_is_up = True
    ticks(found, world, 31)
    assert world.started == [FIRST]
    assert "flights/quality/v1/2026-01-01" in world.told


def test_nothing_is_measured_without_a_champion(world: World) -> None:
    empty = replace(world, pipeline="empty")
    found = empty.controller(SETTINGS)
    found.start()
    ticks(found, empty, 3)
    assert (empty.n_steps, found.state.phase) == (0, Watching())


def test_a_submission_is_recorded_once(world: World) -> None:
    ticks(started(world), world)
    ticks(started(world), world, 3)
    facts = world.facts
    assert sum(isinstance(fact, RetrainSubmitted) for fact in facts) == 1
    assert not any(isinstance(fact, GateJudged) for fact in facts)


LOST = AlertRaised(
    datetime(2026, 1, 1, tzinfo=UTC), "flights/capture/1", "answers are not captured", Evidence()
)


def test_what_is_not_captured_is_told_and_recorded_once(world: World) -> None:
    world.traffic_flows = False
    found = started(world)
    world.seen.append(LOST)
    ticks(found, world, 3)
    assert world.told == [LOST.key]
    told = [fact for fact in world.facts if isinstance(fact, AlertRaised | AlertSent)]
    assert [(type(fact), fact.key) for fact in told] == [(AlertRaised, LOST.key), (AlertSent, LOST.key)]


@pytest.mark.parametrize("error", [StorageError("the disk is full."), RegistryError("the registry refuses")])
def test_where_the_ledger_cannot_be_written_people_are_told_all_the_same(
    world: World, error: RaypipeError
) -> None:
    world.traffic_flows = False
    found = world.controller(SETTINGS, mortal=True)
    found.start()
    world.errors["append"] = error
    world.seen.append(LOST)
    world.webhook_is_up = False
    ticks(found, world, 3)
    assert (world.told, world.n_sends) == ([], 1), "the webhook is asked again half a minute later"
    world.webhook_is_up = True
    ticks(found, world, 40)
    assert world.told == [LOST.key]
    del world.errors["append"]
    ticks(found, world, 40)
    assert world.told == [LOST.key]


def test_a_controller_that_was_replaced_tells_nothing(world: World) -> None:
    found = started(world)
    started(world)
    world.seen.append(LOST)
    with pytest.raises(StaleEpoch):
        ticks(found, world)
    assert world.told == []
