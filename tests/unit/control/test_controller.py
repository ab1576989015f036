"""The controller over a real ledger, in a world of fakes: whole cycles, and deaths after every step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest

from raypipe.control.controller import Controller, JobState, Ports
from raypipe.control.events import (
    ControllerStarted,
    Evidence,
    Fact,
    GateJudged,
    Promoted,
    Quality,
    RetrainDecided,
    RetrainSubmitted,
    WindowScored,
    kind_of,
)
from raypipe.control.ledger import fold_facts, read_facts, record
from raypipe.control.outcome import Retrained
from raypipe.control.people import answer, request_retrain
from raypipe.control.receipts import Receipt, receipts
from raypipe.control.state import AwaitingApproval, Watching
from raypipe.core.errors import ClusterError, RaypipeError, RegistryError, ServingError, StaleEpoch
from raypipe.core.ids import Json
from raypipe.policy.config import RetrainingSettings
from raypipe.registry.store import Registry
from raypipe.registry.values import LedgerEntry
from raypipe.testing import FakeClock
from raypipe.training.compare import Comparison

PIPELINE, FIRST = "flights", "flights-retrain-1"
SETTINGS = RetrainingSettings.model_validate(
    {"triggers": {"quality_bound": 0.8}, "cool_down_s": 60, "job_timeout_s": 600}
)
BETTER = Comparison("accuracy", "v1", "v2", 400, 0.61, 0.88, 0.27, 0.2, 0.33)
WORSE = Comparison("accuracy", "v1", "v2", 400, 0.88, 0.61, -0.27, -0.33, -0.2)
NO_NUMBERS = Comparison("accuracy", "v1", "v2", 400, 0.61, None, None, None, None)
MADE = Retrained("v2", "d-2", "d-1", "xgboost", {"max_depth": 6}, 81.5, BETTER)


class Killed(BaseException):
    """The controller's process has died."""


@dataclass
class World:
    """What the controller acts on: it outlives controllers, and may kill one at any of its steps."""

    registry: Registry
    ledger: str
    """The registry's URL."""
    clock: FakeClock
    results: dict[str, Retrained] = field(default_factory=dict)
    running: dict[str, JobState] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=lambda: {"v1": 0.6, "v2": 0.9})
    errors: dict[str, RaypipeError] = field(default_factory=dict)
    webhook_is_up: bool = True
    traffic_flows: bool = True
    before_result: Callable[[], None] = lambda: None
    n_labels: int = 500
    dies_at: int | None = None
    n_steps: int = 0
    n_sends: int = 0

    def at(self, port: str) -> None:
        """Pass a point at which the process may die, or the port may fail."""
        self.n_steps += 1
        if self.n_steps == self.dies_at:
            raise Killed
        if port in self.errors:
            raise self.errors[port]

    def submit(self, decision: str) -> None:
        self.at("submit")
        if decision not in self.running:
            self.started.append(decision)
            self.running[decision] = "running"
        self.at("submitted")

    def state(self, decision: str) -> JobState:
        self.at("state")
        return self.running.get(decision, "unknown")

    def stop(self, decision: str) -> None:
        self.at("stop")
        self.stopped.append(decision)

    def result(self, decision: str) -> Retrained | None:
        self.before_result()
        return self.results.get(decision)

    def measure(self, champion: str, at: datetime) -> WindowScored | None:
        self.at("measure")
        if not self.traffic_flows:
            return None
        score = self.scores[champion]
        quality = Quality("accuracy", True, score, score - 0.04, score + 0.04, 500)
        return WindowScored(at, champion, self.n_labels, quality)

    def promote(self, version: str, expected: str | None, reason: str) -> int:
        self.at("promote")
        if self.registry.alias(PIPELINE, "champion") != version:
            self.registry.set_alias(PIPELINE, "champion", version, expected=expected, reason=reason)
        self.at("promoted")
        return self.registry.alias_history(PIPELINE, "champion")[0].epoch

    def send(self, key: str, text: str, evidence: Evidence) -> bool:
        self.at("send")
        self.n_sends += 1
        if self.webhook_is_up:
            self.told.append(key)
        return self.webhook_is_up

    def ends(self, decision: str, state: JobState, result: Retrained | None = None) -> None:
        """Let a job end, with what it leaves behind."""
        self.running[decision] = state
        if result is not None:
            self.results[decision] = result

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(fact for _, fact in read_facts(self.registry, PIPELINE))

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        return receipts(self.facts, PIPELINE)

    @property
    def champion(self) -> str | None:
        return self.registry.alias(PIPELINE, "champion")


class DyingLedger(Registry):
    """A ledger in front of and behind whose writes the process may die."""

    def __init__(self, world: World) -> None:
        super().__init__(world.ledger, world.clock)
        self.world = world

    def append(self, pipeline: str, kind: str, subject: str, detail: Json) -> LedgerEntry:
        self.world.at("append")
        entry = super().append(pipeline, kind, subject, detail)
        self.world.at("appended")
        return entry


@pytest.fixture
def world(registry: Registry, registry_url: str, clock: FakeClock) -> World:
    return World(registry, registry_url, clock)


def controller(
    world: World, settings: RetrainingSettings = SETTINGS, registry: Registry | None = None
) -> Controller:
    """Return a controller that has not started."""
    ports = Ports(jobs=world, traffic=world, releases=world, alerts=world)
    return Controller(PIPELINE, settings, registry or world.registry, world.clock, ports)


def started(world: World, settings: RetrainingSettings = SETTINGS) -> Controller:
    found = controller(world, settings)
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


def survivor(world: World) -> Controller:
    """Run until the retrain is over, with a new controller for each that dies."""
    ledger = DyingLedger(world)
    found: Controller | None = None
    for _ in range(14):
        world.clock.advance(1)
        if FIRST in world.running:
            world.ends(FIRST, "succeeded", MADE)
        try:
            if found is None:
                found = controller(world, registry=ledger)
                found.start()
            found.tick()
        except Killed:
            found = None
    assert found is not None
    return found


N_STEPS = 38
"""What `survivor` takes where none dies; the last step only measures."""


@pytest.mark.parametrize("dies_at", range(1, N_STEPS))
def test_a_death_at_any_step_loses_nothing_and_does_nothing_twice(world: World, dies_at: int) -> None:
    world.dies_at = dies_at
    found = survivor(world)
    assert (world.started, world.champion) == ([FIRST], "v2")
    assert isinstance(found.state.phase, Watching)
    assert found.state == fold_facts(world.facts, PIPELINE)
    [receipt] = world.receipts
    assert (receipt.decision, receipt.ending) == (FIRST, "promoted")
    counts = Counter(type(fact) for fact in world.facts)
    assert counts[RetrainDecided] == counts[Promoted] == 1
    assert counts[ControllerStarted] <= 2
    assert {alert.key for alert in found.state.unsent} == set()


def test_every_step_of_a_cycle_is_one_to_die_at(world: World) -> None:
    survivor(world)
    assert (world.n_steps, world.champion) == (N_STEPS, "v2")


@pytest.mark.parametrize("fails_at", ["append", "measure", "send", "state"])
def test_what_fails_once_is_made_up_for_by_the_same_controller(world: World, fails_at: str) -> None:
    """The ledger may be locked, or a port may raise: the next tick goes on from the ledger."""
    ledger = DyingLedger(world)
    found = controller(world, registry=ledger)
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


def test_what_a_replaced_controller_still_writes_counts_for_nothing(world: World) -> None:
    first = started(world)
    second = started(world)
    late = RetrainDecided(
        world.clock.now(), FIRST, "drift", Evidence(), "v1", controller=first.state.controller
    )
    record(world.registry, PIPELINE, late)
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


def test_nothing_is_measured_without_a_champion(world: World, clock: FakeClock) -> None:
    found = Controller(
        "empty",
        SETTINGS,
        world.registry,
        clock,
        Ports(jobs=world, traffic=world, releases=world, alerts=world),
    )
    found.start()
    ticks(found, world, 3)
    assert (world.n_steps, found.state.phase) == (0, Watching())


def test_a_submission_is_recorded_once(world: World) -> None:
    ticks(started(world), world)
    ticks(started(world), world, 3)
    facts = world.facts
    assert sum(isinstance(fact, RetrainSubmitted) for fact in facts) == 1
    assert not any(isinstance(fact, GateJudged) for fact in facts)
