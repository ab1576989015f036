"""A gate whose first look is inconclusive, one event at a time."""

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
    JudgeChallenger,
    Promote,
    Record,
    Reject,
    SendAlert,
    WatchGate,
    WatchRollout,
)
from raypipe.control.events import (
    Approved,
    ChampionChanged,
    ControllerStarted,
    Event,
    Evidence,
    Fact,
    GateContinued,
    GateJudged,
    GateScored,
    Harm,
    Promoted,
    Rejected,
    RetrainDecided,
    RetrainRequested,
    RetrainSubmitted,
    RetrainSucceeded,
    Ticked,
    WindowScored,
)
from raypipe.control.first_look import Asked, first_look
from raypipe.control.gate_evidence import GateEvidence
from raypipe.control.gate_sequence import judge_sequence
from raypipe.control.happening import Verdict
from raypipe.control.ledger import fold_facts
from raypipe.control.outcome import Retrained
from raypipe.control.receipts import receipts, render
from raypipe.control.rollout_events import RolloutEnded
from raypipe.control.state import AwaitingApproval, AwaitingLabels, Gating, Promoting, Shadowing, State
from raypipe.control.step import resume, step
from raypipe.policy.config import GateSettings, RetrainingSettings
from raypipe.stats.bets import Bets
from raypipe.stats.gains import Gains, Scale
from raypipe.training.compare import Comparison
from raypipe.training.slices import Slice

START, DECISION = datetime(2026, 1, 1, tzinfo=UTC), "p-retrain-1"
SCALE = Scale(10, 0.2)
OPEN = Comparison("auc", "v1", "v2", 200, 0.80, 0.82, 0.02, -0.03, 0.07, scale=SCALE)


def later(gain: float, n_rows: int = 400, **others: Any) -> GateEvidence:
    """Return what `n_rows` later rows show, whose every block has a gain."""
    share = np.full(n_rows // 10, (1 + gain / 0.2) / 2)
    gains = Gains(Bets.of(share, 0.5), Bets.of(1 - share, 0.5), n_rows)
    found = Comparison("auc", "v1", "v2", n_rows, 0.8, 0.8 + gain, gain, None, None)
    return GateEvidence(gains, replace(found, **others))


class Live:
    """A controller with a challenger that a first look could not tell from its champion."""

    def __init__(self, mode: str = "auto", **retraining: Any) -> None:
        self.settings = RetrainingSettings.model_validate({"mode": mode, **retraining})
        self.state, self.now, self.ledger = State("p"), START, list[Fact]()
        for event in (
            ControllerStarted(START, 1, "v1", 1, controller=1),
            RetrainDecided(START, DECISION, "hand", Evidence(), "v1", controller=1),
            RetrainSubmitted(START, DECISION, controller=1),
            RetrainSucceeded(START, DECISION, "v2", "d-2", controller=1),
        ):
            self.tell(event)
        asked = Asked(START, 1, DECISION, "v2", "v1")
        first = first_look(asked, Retrained("v2", comparison=OPEN), self.settings.gate, can_go_on=True)
        self.began = self.tell(first)

    def tell(self, event: Event) -> list[Action]:
        if isinstance(event, Approved | Rejected | ChampionChanged | RetrainRequested):
            self.ledger.append(event)
        self.state, actions = step(self.state, event, self.settings)
        self.ledger += [action.fact for action in actions if isinstance(action, Record)]
        assert fold_facts(self.ledger, "p") == self.state
        return [action for action in actions if not isinstance(action, Record | SendAlert)]

    def shows(self, evidence: GateEvidence) -> list[Action]:
        self.now += timedelta(seconds=10)
        return self.tell(GateScored(self.now, DECISION, evidence, controller=1))

    def tick(self, after_s: float) -> list[Action]:
        self.now += timedelta(seconds=after_s)
        return self.tell(Ticked(self.now, controller=1))


def test_later_rows_pass_it() -> None:
    live = Live()
    assert live.began == [WatchGate(DECISION, "v2", "v1")]
    assert live.state.phase == AwaitingLabels(DECISION, "v2", "v1", START)
    assert live.shows(later(0.02, 100)) == []
    assert live.shows(later(0.1)) == [Promote(DECISION, "v2", "v1")]
    ended = live.tell(Promoted(live.now, DECISION, "v2", 2, controller=1))
    assert ended == [EndRollout(DECISION)]
    assert live.tell(RolloutEnded(live.now, DECISION, controller=1)) == []
    assert live.state.exposed is None
    [receipt] = receipts(live.ledger, "p")
    assert receipt.first_look is not None and receipt.first_look.n_rows == 200
    assert receipt.gate is not None and receipt.gate.n_rows == 400
    assert receipt.gate.reasons == (
        "better by 0.1 on 400 rows that were labelled after the first look: surely above "
        "retraining.gate.margin, 0",
    )
    assert any(
        "first look inconclusive: better by 0.02 [-0.03, 0.07] on 200 rows" in one for one in render(receipt)
    )


def test_it_goes_on_from_the_ledger_alone() -> None:
    live = Live()
    live.state = fold_facts(live.ledger, "p")
    assert resume(live.state, live.settings) == (WatchGate(DECISION, "v2", "v1"),)
    assert live.shows(later(-0.1))[:1] == [EndRollout(DECISION)]


@pytest.mark.parametrize(
    ("seen", "verdict", "said"),
    [
        (later(0.1), "pass", "surely above retraining.gate.margin, 0"),
        (later(0.1, 90), None, ""),
        (later(0.02, 100), None, ""),
        (
            later(-0.1),
            "fail",
            "worse by 0.1 on 400 rows that were labelled after the first look: surely below",
        ),
        (later(0.0, 1_000), "inconclusive", "retraining.gate.wait_labels allows no more"),
        (later(0.1, challenger_error="NaN"), "fail", "cannot be scored: NaN"),
        (later(0.1, champion_error="gone"), "inconclusive", "champion v1 cannot be scored"),
        (later(0.1, slices=(Slice("a", "b", 90, -0.2, -0.3, -0.1),)), "fail", "worse by 0.2"),
        (later(0.1, champion_calibration=0.01, challenger_calibration=0.2), "fail", "probabilities are off"),
    ],
)
def test_verdicts(seen: GateEvidence, verdict: Verdict | None, said: str) -> None:
    judged = judge_sequence(seen, GateSettings())
    assert (judged and judged[0]) == verdict
    assert judged is None or said in judged[1][0]


def test_what_ends_it_without_a_verdict_of_rows() -> None:
    live = Live(gate={"deadline_s": 600})
    assert live.tick(599) == []
    ended, rejected = live.tick(1)
    assert ended == EndRollout(DECISION) and isinstance(rejected, Reject)
    assert "retraining.gate.deadline_s, 600 s" in rejected.why
    live = Live()
    live.settings = RetrainingSettings.model_validate({"gate": {"wait_labels": 0}})
    assert [type(one) for one in live.tick(1)] == [EndRollout, Reject], "it is configured no more"


def test_no_other_retrain_begins_meanwhile() -> None:
    live = Live(triggers={"new_labels": 100}, cool_down_s=0)
    harm = Harm(0.3, 0.1, 0.12, 900)
    assert live.tell(WindowScored(START, "v1", 9_000, None, (), harm, controller=1)) == []
    assert live.tell(RetrainRequested(START, "ann")) == []
    assert isinstance(live.state.phase, AwaitingLabels)
    live.shows(later(-0.1))
    live.tick(1)
    assert live.state.decision == "p-retrain-2"


@pytest.mark.parametrize("mode", ["auto", "approve"])
def test_a_person_may_be_faster(mode: str) -> None:
    live = Live(mode)
    assert live.tell(Approved(live.now, "v2", "ann")) == [Promote(DECISION, "v2", "v1")]
    assert live.state.phase == Promoting(DECISION, "v2", "v1", live.now, gated=False)
    live = Live(mode)
    assert [type(one) for one in live.tell(Rejected(live.now, "v2", "ann"))] == [EndRollout, Reject]


def test_after_it_a_person_is_asked_or_a_shadow_begins() -> None:
    live = Live("approve")
    [asked] = live.shows(later(0.1))
    assert isinstance(asked, AskApproval) and isinstance(live.state.phase, AwaitingApproval)
    live = Live(rollout={"shadow": {}})
    assert live.shows(later(0.1)) == [WatchRollout(DECISION, "v2", "v1")]
    assert isinstance(live.state.phase, Shadowing) and live.state.exposed == DECISION


def test_another_champion_is_another_gate() -> None:
    live = Live()
    acts = live.tell(ChampionChanged(live.now, "v5", 9))
    assert acts == [EndRollout(DECISION), JudgeChallenger(DECISION, "v2", "v5")]
    assert isinstance(live.state.phase, Gating)
    live = Live()
    assert live.shows(later(0.1, champion="v0")) == [], "what it showed against a former one counts nothing"
    assert live.shows(later(0.1, challenger="v3")) == []


@pytest.mark.parametrize(
    ("found", "wait", "can_go_on", "goes_on"),
    [
        (OPEN, 1_000, True, True),
        (replace(OPEN, n_rows=60), 1_000, True, True),
        (OPEN, 0, True, False),
        (OPEN, 1_000, False, False),
        (replace(OPEN, scale=None), 1_000, True, False),
        (replace(OPEN, champion_error="gone"), 1_000, True, False),
        (replace(OPEN, gain_low=0.01), 1_000, True, False),
        (replace(OPEN, gain_high=-0.01), 1_000, True, False),
    ],
)
def test_when_later_rows_judge(found: Comparison, wait: int, can_go_on: bool, goes_on: bool) -> None:
    asked = Asked(START, 1, DECISION, "v2", "v1")
    settings = GateSettings(wait_labels=wait)
    fact = first_look(asked, Retrained("v2", comparison=found), settings, can_go_on=can_go_on)
    assert isinstance(fact, GateContinued if goes_on else GateJudged)


def test_evidence_is_kept_as_json() -> None:
    seen = later(0.1, slices=(Slice("a", "b", 90, -0.2, -0.3, -0.1),))
    assert GateEvidence.from_json(seen.to_json()) == seen
