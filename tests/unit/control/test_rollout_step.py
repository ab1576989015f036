"""A rollout, one event at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from raypipe.control.actions import (
    Action,
    AskApproval,
    EndRollout,
    Promote,
    Record,
    Reject,
    SendAlert,
    SetCanary,
    WatchRollout,
)
from raypipe.control.events import (
    Approved,
    ChampionChanged,
    ControllerStarted,
    Event,
    Evidence,
    Fact,
    GateJudged,
    Promoted,
    Rejected,
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
    RolloutScored,
    Ticked,
)
from raypipe.control.ledger import fold_facts
from raypipe.control.rollout import judge_canary, judge_shadow, rows_of_step
from raypipe.control.rollout_events import CanaryJudged, CanarySet, ShadowJudged
from raypipe.control.rollout_evidence import Baseline, CanaryEvidence, RolloutEvidence, ShadowEvidence
from raypipe.control.state import AwaitingApproval, Canarying, Gating, Shadowing, State, Watching
from raypipe.control.step import resume, step
from raypipe.policy.config import RetrainingSettings
from raypipe.policy.rollout import CanarySettings, RolloutSettings, ShadowSettings
from raypipe.stats.arms import Arms
from raypipe.stats.bets import Bets

START, DECISION = datetime(2026, 1, 1, tzinfo=UTC), "p-retrain-1"
BOTH: dict[str, Any] = {"shadow": {"hold_s": 30}, "canary": {"weights": [0.1, 0.5], "hold_s": 30}}
KNOWN = Baseline(1_000, 100.0)
UNHARMED = ShadowEvidence(Bets.none(0.01), Bets.of([0.5] * 400, 0.5), Bets.of([0.7] * 400, 0.49), n_rows=400)


class Live:
    """A controller with a challenger that has passed its gate."""

    def __init__(self, rollout: dict[str, Any], mode: str = "auto") -> None:
        self.settings = RetrainingSettings.model_validate({"mode": mode, "rollout": rollout})
        self.state, self.now, self.ledger = State("p"), START, list[Fact]()
        for event in (
            ControllerStarted(START, 1, "v1", 1, controller=1),
            RetrainDecided(START, DECISION, "hand", Evidence(), "v1", controller=1),
            RetrainSubmitted(START, DECISION, controller=1),
            RetrainSucceeded(START, DECISION, "v2", "d-2", controller=1),
        ):
            self.tell(event)
        self.began = self.tell(GateJudged(START, DECISION, "v2", "v1", "pass", 400, controller=1))

    def tell(self, event: Event) -> list[Action]:
        if isinstance(event, Approved | Rejected | ChampionChanged):
            self.ledger.append(event)
        self.state, actions = step(self.state, event, self.settings)
        self.ledger += [action.fact for action in actions if isinstance(action, Record)]
        assert fold_facts(self.ledger, "p") == self.state
        return [action for action in actions if not isinstance(action, Record | SendAlert)]

    def shows(self, evidence: RolloutEvidence, after_s: float = 60) -> list[Action]:
        self.now += timedelta(seconds=after_s)
        return self.tell(RolloutScored(self.now, DECISION, evidence, controller=1))

    def tick(self, after_s: float) -> list[Action]:
        self.now += timedelta(seconds=after_s)
        return self.tell(Ticked(self.now, controller=1))

    def canary(self, step_: int, epoch: int) -> list[Action]:
        return self.tell(CanarySet(self.now, DECISION, "v2", step_, epoch, controller=1))


def arms(n_treated: int, n_other: int, weight: float = 0.1) -> Arms:
    """Return the evidence of so many losses of 1 in each arm."""
    treated = np.arange(n_treated + n_other) < n_treated
    return Arms.of(np.ones(len(treated)), treated, weight, tolerance=2.0)


def canary_of(epoch: int, losses: Arms, **others: Any) -> RolloutEvidence:
    found = CanaryEvidence(Bets.none(0.01), Arms(2.0), losses)
    return RolloutEvidence(KNOWN, UNHARMED, {epoch: replace(found, **others)})


def test_all_the_way() -> None:
    live = Live(BOTH)
    assert live.began == [WatchRollout(DECISION, "v2", "v1")]
    assert live.shows(RolloutEvidence(KNOWN, UNHARMED), 1) == []
    *_, first = live.shows(RolloutEvidence(KNOWN, UNHARMED))
    n = rows_of_step(KNOWN, 0.1, live.settings.rollout)
    assert n is not None
    assert first == SetCanary(DECISION, "v2", "v1", 0, 0.1, n)
    assert isinstance(live.state.phase, Canarying)
    assert live.canary(0, 7) == [WatchRollout(DECISION, "v2", "v1")]
    # Another epoch's rows, and too short a time, show nothing.
    assert live.shows(canary_of(6, arms(5, 400)), 1) == []
    assert live.shows(canary_of(7, arms(5, 400)), 1) == []
    second = live.shows(canary_of(7, arms(10, 400)), 60)
    assert isinstance(second[1], SetCanary)
    assert (second[1].step, second[1].weight) == (1, 0.5)
    live.canary(1, 8)
    assert live.shows(canary_of(8, arms(60, 300, 0.5)), 60) == [Promote(DECISION, "v2", "v1")]
    ended = live.tell(Promoted(live.now, DECISION, "v2", 9, controller=1))
    assert ended == [EndRollout(DECISION)]
    assert (live.state.champion, live.state.phase) == ("v2", Watching())


def test_a_person_is_asked_between_shadow_and_canary() -> None:
    live = Live(BOTH, mode="approve")
    assert live.began == [WatchRollout(DECISION, "v2", "v1")]
    [asked] = live.shows(RolloutEvidence(KNOWN, UNHARMED))
    assert isinstance(asked, AskApproval)
    assert live.state.phase == AwaitingApproval(DECISION, "v2", "v1", live.now, shadowed=True)
    assert live.tell(Approved(live.now, "v2", "ann")) == [WatchRollout(DECISION, "v2", "v1")]
    assert isinstance(live.state.phase, Canarying)


def test_missing_data_holds_and_is_inconclusive_at_the_deadline() -> None:
    live = Live({"shadow": {"deadline_s": 600}})
    nothing = RolloutEvidence(Baseline(), ShadowEvidence.none(ShadowSettings()))
    for _ in range(9):
        assert live.shows(nothing, 60) == []
        assert live.tick(1) == []
    ended = live.tick(60)
    assert [type(one) for one in ended] == [EndRollout, Reject]
    assert isinstance(live.ledger[-1], ShadowJudged)
    assert live.ledger[-1].verdict == "inconclusive"


def test_a_canary_does_not_begin_while_nothing_is_known_of_the_champion() -> None:
    live = Live({"canary": {"deadline_s": 600}})
    assert live.shows(RolloutEvidence(Baseline(49, 5.0))) == []
    assert [type(one) for one in live.tick(600)] == [EndRollout, Reject]


def test_a_hand_ends_a_rollout() -> None:
    live = Live(BOTH)
    assert live.tell(Rejected(live.now, "v2", "ann", "no")) == [
        EndRollout(DECISION),
        Reject(DECISION, "v2", "no"),
    ]


def test_another_champion_ends_a_canary_and_the_same_under_a_new_epoch_does_not() -> None:
    live = Live({"canary": {}})
    live.shows(RolloutEvidence(KNOWN))
    live.canary(0, 7)
    phase = live.state.phase
    assert live.tell(ChampionChanged(live.now, "v1", 7)) == []
    assert live.state.phase == phase
    ended = live.tell(ChampionChanged(live.now, "v9", 8))
    assert ended[0] == EndRollout(DECISION)
    assert isinstance(live.state.phase, Gating)


def test_a_canary_that_cannot_be_put_there_ends() -> None:
    live = Live({"canary": {}})
    live.shows(RolloutEvidence(KNOWN))
    refused = CanaryJudged(live.now, DECISION, "v2", "v1", "fail", 0, ("no memory",), controller=1)
    assert live.tell(refused) == [EndRollout(DECISION), Reject(DECISION, "v2", "no memory")]


@pytest.mark.parametrize("phase", [Shadowing, Canarying])
def test_a_controller_that_takes_over_goes_on(phase: type) -> None:
    live = Live(BOTH if phase is Shadowing else {"canary": {}})
    assert isinstance(live.state.phase, phase)
    assert resume(live.state, live.settings) == (WatchRollout(DECISION, "v2", "v1"),)
    live.tell(Rejected(live.now, "v2", "ann"))
    assert resume(live.state, live.settings)[0] == EndRollout(DECISION)


CANARY, SHADOW = CanarySettings(), ShadowSettings(min_rows=10)
FAILS = Bets.of([1.0] * 20 + [0.0] * 100, 0.01)


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [
        (CanaryEvidence(FAILS, Arms(2.0), arms(5, 400)), "fail", "of its rows fail"),
        (CanaryEvidence(Bets.none(0.01), arms(200, 200), arms(5, 400)), "fail", "take over 100 ms"),
        (CanaryEvidence(Bets.none(0.01), Arms(2.0), arms(200, 200)), "fail", "losses are higher"),
        (CanaryEvidence(Bets.none(0.01), Arms(2.0), arms(5, 400)), "pass", "less than 2 times"),
        (CanaryEvidence(Bets.none(0.01), Arms(2.0), arms(50, 250)), None, ""),
    ],
)
def test_verdicts_of_a_canary(found: CanaryEvidence, verdict: str | None, said: str) -> None:
    judged = judge_canary(found, CANARY, alpha=0.05, alpha_of_each=0.01, waited_s=1e6)
    assert (None if judged is None else judged[0]) == verdict
    assert said in ("" if judged is None else judged[1][0])


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (UNHARMED, "pass"),
        (replace(UNHARMED, failed=FAILS), "fail"),
        (replace(UNHARMED, higher=Bets.of([0.9] * 400, 0.5)), "fail"),
        (replace(UNHARMED, slowdown=11.0), "fail"),
        (replace(UNHARMED, n_rows=9), None),
        (replace(UNHARMED, lower=Bets.of([0.49] * 400, 0.49)), None),
    ],
)
def test_verdicts_of_a_shadow(found: ShadowEvidence, verdict: str | None) -> None:
    judged = judge_shadow(found, SHADOW, alpha=0.05, alpha_of_each=0.01, waited_s=0)
    assert (None if judged is None else judged[0]) == verdict


def test_rarer_losses_and_smaller_harm_take_more_rows() -> None:
    def rows(loss: float = 100.0, **canary: float) -> int:
        settings = RolloutSettings.model_validate({"canary": canary | {"max_rows": 10**9}})
        found = rows_of_step(Baseline(1_000, loss), 0.1, settings)
        assert found is not None
        return found

    assert rows() < rows(10.0) < rows(0.0)
    assert rows(harm=3.0, tolerance=3.0) < rows() < rows(harm=1.5)
    assert rows_of_step(Baseline(49, 5.0), 0.1, RolloutSettings.model_validate({"canary": {}})) is None


def test_evidence_comes_back_equal_from_json() -> None:
    found = canary_of(7, arms(5, 40))
    assert RolloutEvidence.from_json(found.to_json()) == found
