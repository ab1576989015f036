"""A controller that dies before and after any of its steps: nothing is done twice, and nothing is lost.

Its steps are each write to the ledger and each call to what it acts through, so every prefix of the ledger is
one that some controller died after, and that the next one took over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raypipe.control.clock_events import ClockJumped, ClockSetBack
from raypipe.control.controller import Controller
from raypipe.control.events import AlertSent, ControllerStarted, kind_of
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.ledger import action_of, fold_facts
from raypipe.control.outcome import Retrained
from raypipe.control.people import answer, read_state
from raypipe.control.ports import JobState
from raypipe.control.receipts import Ending
from raypipe.control.rollout_evidence import Baseline, CanaryEvidence, RolloutEvidence, ShadowEvidence
from raypipe.control.state import AwaitingApproval, Canarying, Watching
from raypipe.core.errors import ServingError, StaleEpoch
from raypipe.policy.config import RetrainingSettings
from raypipe.registry.store import Registry
from raypipe.stats.arms import Arms
from raypipe.stats.bets import Bets
from raypipe.stats.gains import Gains, Scale
from raypipe.testing import FakeClock
from raypipe.testing.control import Killed, MemoryDatabase, World
from raypipe.training.compare import Comparison

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PIPELINE, FIRST = "flights", "flights-retrain-1"
BETTER = Comparison("accuracy", "v1", "v2", 400, 0.61, 0.88, 0.27, 0.2, 0.33)
WORSE = Comparison("accuracy", "v1", "v2", 400, 0.88, 0.61, -0.27, -0.33, -0.2)
OPEN = replace(BETTER, gain=0.02, gain_low=-0.03, gain_high=0.07, scale=Scale(10, 0.2))
MADE = Retrained("v2", "d-2", "d-1", "xgboost", {"max_depth": 6}, 81.5, BETTER)
UNDECIDED = replace(MADE, comparison=OPEN)
MAX_TURNS, TURN_S = 60, 40.0
STEPS: Mapping[str, Any] = {
    "shadow": {},
    "canary": {"weights": [0.1, 0.5], "hold_s": 0},
}


@dataclass(frozen=True)
class Story:
    """How a retrain goes, whoever dies on the way."""

    ending: Ending
    mode: str = "auto"
    job: JobState = "succeeded"
    left: Retrained | None = MADE
    hangs: bool = False
    """The job runs on until it is stopped."""
    approved: bool | None = None
    """What a person who was asked answers, None where nobody does."""
    refused: bool = False
    """Whether the endpoint refuses the challenger."""
    webhook_is_late: bool = False
    rollout: Mapping[str, Any] = field(default_factory=dict)
    action: str = "retrain"
    shows: str = ""
    """What live traffic shows of the challenger: that it is fine, or that it does harm; else nothing."""
    later: float | None = None
    """How much better it is on rows that are labelled after its gate's first look; None: none is."""

    @property
    def settings(self) -> RetrainingSettings:
        return RetrainingSettings.model_validate(
            {
                "mode": self.mode,
                "triggers": {"quality_bound": 0.8, "actions": {"quality": self.action}},
                "cool_down_s": 1e6,
                "job_timeout_s": 600,
                "approval": {"timeout_s": 300},
                "gate": {"deadline_s": 120},
                "rollout": self.rollout,
            }
        )

    @property
    def champion(self) -> str:
        return "v2" if self.ending == "promoted" else "v1"


STORIES = {
    "promoted": Story("promoted"),
    "promoted while the webhook is down": Story("promoted", webhook_is_late=True),
    "rolled back to an earlier version": Story("promoted", action="rollback"),
    "refitted": Story("promoted", action="refit"),
    "approved": Story("promoted", mode="approve", approved=True),
    "rejected": Story("rejected", mode="approve", approved=False),
    "nobody answers": Story("rejected", mode="approve"),
    "worse": Story("not better", left=replace(MADE, comparison=WORSE)),
    "few rows": Story("inconclusive", left=replace(MADE, comparison=replace(BETTER, n_rows=20))),
    "later rows pass it": Story("promoted", left=UNDECIDED, later=0.1),
    "later rows fail it": Story("not better", left=UNDECIDED, later=-0.1),
    "no label comes later": Story("inconclusive", left=UNDECIDED),
    "rolled out": Story("promoted", mode="approve", approved=True, rollout=STEPS, shows="fine"),
    "harm in the canary": Story("withdrawn", rollout=STEPS, shows="harm"),
    "a shadow without labels": Story("inconclusive", rollout={"shadow": {"deadline_s": 120}}),
    "refused by the endpoint": Story("promotion failed", refused=True),
    "the job fails": Story("failed", job="failed", left=Retrained(error="too few labels")),
    "the job is killed": Story("failed", job="failed", left=None),
    "the job is lost": Story("lost", job="unknown", left=None),
    "the job is lost, its version is not": Story("promoted", job="unknown"),
    "the job hangs": Story("timed out", job="failed", left=None, hangs=True),
}


def shown(story: Story, world: World) -> RolloutEvidence | None:
    """Return what was measured of the challenger up to now."""
    phase = read_state(world.registry, PIPELINE).phase
    if not story.shows:
        return None
    shadow = replace(
        ShadowEvidence.none(story.settings.rollout.shadow) if story.settings.rollout.shadow else NO_SHADOW,
        lower=Bets.of(np.full(400, 0.7), 0.49),
        n_rows=400,
    )
    found = RolloutEvidence(Baseline(500, 50.0), shadow)
    if not isinstance(phase, Canarying) or phase.epoch is None:
        return found
    treated = np.arange(400) < (250 if story.shows == "harm" else 20)
    losses = Arms.of(np.ones(400), treated, phase.weight, tolerance=2.0)
    canary = CanaryEvidence(Bets.none(0.01), Arms(2.0), losses)
    return replace(found, canary={phase.epoch: canary})


def found_later(story: Story) -> GateEvidence | None:
    """Return how both score on rows that were labelled after the first look."""
    if story.later is None:
        return None
    share = (1 + np.full(100, story.later) / 0.2) / 2
    gains = Gains(Bets.of(share, 0.5), Bets.of(1 - share, 0.5), 1_000)
    scores = replace(BETTER, n_rows=1_000, gain=story.later, gain_low=None, gain_high=None)
    return GateEvidence(gains, scores)


NO_SHADOW = ShadowEvidence(Bets.none(0.01), Bets.none(0.5), Bets.none(0.49))


def play(world: World, story: Story, clock_set_by: Mapping[int, float] | None = None) -> Controller:
    """Let a story run to its end, with a new controller for each that dies.

    `clock_set_by` has the seconds by which the clock is set before a turn.
    """
    found: Controller | None = None
    world.shown = lambda _: shown(story, world)
    world.gate_shown = lambda _: found_later(story)
    if story.refused:
        world.errors["promote"] = ServingError("replica r1 refuses epoch 4")
    for turn in range(MAX_TURNS):
        world.clock.advance(TURN_S)
        world.clock.set_by((clock_set_by or {}).get(turn, 0.0))
        world.webhook_is_up = not story.webhook_is_late or turn > 6
        outside(world, story)
        try:
            if found is None:
                found = world.controller(story.settings, mortal=True)
                found.start()
            found.tick()
        except Killed:
            found = None
        if (
            found is not None
            and world.receipts
            and not found.state.unsent
            and found.state.exposed is None
            and found.state.phase == Watching()
        ):
            return found
    raise AssertionError(f"no end in {MAX_TURNS} turns; the ledger holds {world.facts}")


def outside(world: World, story: Story) -> None:
    """Let jobs and people do what they do, whether a controller lives or not."""
    if world.running.get(FIRST) == "running" and (not story.hangs or FIRST in world.stopped):
        world.ends(FIRST, story.job, story.left)
    phase = read_state(world.registry, PIPELINE).phase
    was_asked = f"{FIRST}/approval" in world.told
    if isinstance(phase, AwaitingApproval) and story.approved is not None and was_asked:
        clock, says = world.clock, story.approved
        answer(world.registry, PIPELINE, clock, phase.version, approved=says, by="ann")


def account(world: World) -> tuple[object, ...]:
    """Return all that happened, but for who was at work, what the clock did, how often an alert arrived."""
    apart = ControllerStarted | AlertSent | ClockJumped | ClockSetBack
    facts = [fact for fact in world.facts if not isinstance(fact, apart)]
    changes = world.registry.alias_history(PIPELINE, "champion")
    [receipt] = world.receipts
    return (
        Counter(map(kind_of, facts)),
        (receipt.decision, receipt.action, receipt.ending, receipt.version, receipt.reason),
        world.started,
        [change.version for change in changes],
        set(world.told),
    )


def lived(
    database: MemoryDatabase,
    story: Story,
    deaths: Iterable[int] = (),
    clock_set_by: Mapping[int, float] | None = None,
) -> World:
    """Return the world after a story in which controllers died at some steps, and the clock was set."""
    world = World(PIPELINE, database.copy(), FakeClock(NOON), dies_at=frozenset(deaths))
    found = play(world, story, clock_set_by)
    # The alias that it moved last it reads back at its next look.
    state = fold_facts(world.facts, PIPELINE)
    assert found.state == replace(state, champion_epoch=found.state.champion_epoch)
    assert found.state.champion == world.champion == story.champion
    assert (world.canary, world.watched, found.state.exposed) == (None, set(), None)
    return world


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_a_death_at_any_step_changes_nothing_of_the_account(
    three_versions: MemoryDatabase, story: Story
) -> None:
    quiet = lived(three_versions, story)
    assert [(one.ending, one.action) for one in quiet.receipts] == [(story.ending, story.action)]
    assert action_of(quiet.registry, PIPELINE, FIRST) == story.action
    expected = account(quiet)
    assert quiet.n_steps > 20
    for dies_at in range(1, quiet.n_steps + 1):
        assert account(lived(three_versions, story, {dies_at})) == expected, f"died at step {dies_at}"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.sampled_from(list(STORIES.values())), deaths=st.sets(st.integers(1, 90), max_size=12))
def test_neither_do_many_deaths(three_versions: MemoryDatabase, story: Story, deaths: set[int]) -> None:
    quiet, world = lived(three_versions, story), lived(three_versions, story, deaths)
    assert account(world) == account(quiet)


def times(world: World) -> list[tuple[str, float]]:
    """Return each fact of a controller with the time that had gone by, whatever the clock showed."""
    found, ahead_s = [], 0.0
    for fact in world.facts:
        if isinstance(fact, ClockJumped):
            ahead_s += fact.by_s
        elif fact.controller is not None and not isinstance(
            fact, ControllerStarted | AlertSent | ClockSetBack
        ):
            found.append((kind_of(fact), (fact.at - NOON).total_seconds() - ahead_s))
    return found


HOUR = st.sampled_from([-3600.0, 3600.0, -262.0, 262.0, 15.0])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    story=st.sampled_from(list(STORIES.values())),
    clock_set_by=st.dictionaries(st.integers(1, 20), HOUR, min_size=1, max_size=6),
    deaths=st.sets(st.integers(1, 60), max_size=3),
)
@example(STORIES["nobody answers"], dict.fromkeys(range(1, 5), -3600.0), set())
def test_neither_does_a_clock_that_is_set(
    three_versions: MemoryDatabase, story: Story, clock_set_by: dict[int, float], deaths: set[int]
) -> None:
    quiet = lived(three_versions, story)
    world = lived(three_versions, story, clock_set_by=clock_set_by)
    assert account(world) == account(quiet)
    assert [kind for kind, _ in times(world)] == [kind for kind, _ in times(quiet)]
    # What a person wrote in the turn of a jump is read one turn later.
    assert [at for _, at in times(world)] == pytest.approx([at for _, at in times(quiet)], abs=TURN_S + 1)
    # And also where a controller dies meanwhile, and the next one finds the clock set.
    assert account(lived(three_versions, story, deaths, clock_set_by)) == account(quiet)


@dataclass
class Overtaken(World):
    """A world that stops a controller before one of its steps until a second has lived the whole story."""

    story: Story = STORIES["promoted"]
    stops_at: int = 0
    after: tuple[object, ...] | None = None
    """What the second left behind."""

    def at(self, port: str) -> None:
        if self.n_steps + 1 == self.stops_at:
            self.stops_at = 0
            play(self, self.story)
            self.after = (self.facts, self.registry.alias_history(PIPELINE, "champion"))
        super().at(port)


@pytest.mark.parametrize(
    "name", ["promoted", "approved", "rolled out", "refused by the endpoint", "the job is killed"]
)
def test_a_controller_replaced_at_any_step_writes_nothing_more(
    three_versions: MemoryDatabase, name: str
) -> None:
    story = STORIES[name]
    quiet = lived(three_versions, story)
    ended = 0
    for stops_at in range(2, quiet.n_steps + 1):
        world = Overtaken(PIPELINE, three_versions.copy(), story=story, stops_at=stops_at)
        try:
            play(world, story)
        except StaleEpoch:
            ended += 1
        assert world.after == (world.facts, world.registry.alias_history(PIPELINE, "champion"))
        assert account(world) == account(quiet), f"stopped at step {stops_at}"
        world.database.close()
    assert ended > quiet.n_steps / 2


@dataclass
class FileWorld(World):
    """A world whose registry is a file, and in which a successor takes over before the first release."""

    url: str = ""
    successor: Controller | None = None

    @property
    def registry(self) -> Registry:
        return Registry(self.url, self.clock)

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        successor, self.successor = self.successor, None
        if successor is not None:
            successor.start()
        return super().promote(version, expected, reason, controller)


def test_of_two_controllers_on_one_file_the_older_writes_nothing_more(
    registry_url: str, registry: Registry
) -> None:
    world = FileWorld(PIPELINE, MemoryDatabase(), url=registry_url)
    first = world.controller(STORIES["promoted"].settings)
    first.start()
    first.tick()
    world.ends(FIRST, "succeeded", MADE)
    world.successor = world.controller(STORIES["promoted"].settings)
    # It has looked, has judged, and is replaced before it moves the alias.
    with pytest.raises(StaleEpoch, match="has taken over"):
        first.tick()
    assert [change.version for change in registry.alias_history(PIPELINE, "champion")] == ["v2", "v1"]
    assert [receipt.ending for receipt in world.receipts] == ["promoted"]
    world.database.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_neither_do_hundreds_of_random_deaths(three_versions: MemoryDatabase, seed: int) -> None:
    """Live 360 retrains in all, about half of them rolled out; 1,500 controllers die in them."""
    random = np.random.default_rng(seed)
    back = "rolled back to an earlier version"
    for name in ("rolled out", "harm in the canary", "a shadow without labels", "promoted", "rejected", back):
        story = STORIES[name]
        quiet = lived(three_versions, story)
        for _ in range(6):
            deaths = random.integers(1, 2 * quiet.n_steps, random.integers(1, 15)).tolist()
            assert account(lived(three_versions, story, deaths)) == account(quiet), f"died at {deaths}"
