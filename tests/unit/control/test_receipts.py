"""Receipts: the fold of one decision's facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from raypipe.control.events import (
    Approved,
    ChampionChanged,
    ControllerStarted,
    Evidence,
    Fact,
    Gain,
    GateJudged,
    Promoted,
    PromotionFailed,
    Quality,
    Rejected,
    RetrainDecided,
    RetrainFailed,
    RetrainLost,
    RetrainSubmitted,
    RetrainSucceeded,
    RetrainTimedOut,
    Trigger,
    from_json,
    to_json,
)
from raypipe.control.expected_cost import ExpectedCost
from raypipe.control.receipts import find, receipts, render
from raypipe.core.ids import canonical_json
from raypipe.monitoring.decay import Decay

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
D = "flights-retrain-1"
EVIDENCE = Evidence(
    n_labels=900, n_new_labels=700, quality=Quality("accuracy", True, 0.6, 0.56, 0.64, 500), quality_bound=0.8
)
STARTED = ControllerStarted(AT, 3, "v1", 2, controller=3)
DECIDED = RetrainDecided(AT, D, "quality", EVIDENCE, "v1", controller=3)
MADE = RetrainSucceeded(
    AT + timedelta(seconds=70), D, "v2", "d-2", "d-1", "xgboost", {"max_depth": 6}, 81.5, controller=3
)
PASSED = GateJudged(
    AT + timedelta(seconds=80),
    D,
    "v2",
    "v1",
    "pass",
    400,
    "accuracy",
    0.61,
    0.88,
    Gain(0.27, 0.2, 0.33),
    ("better by 0.27",),
    controller=3,
)
APPROVED = Approved(AT, "v2", "ann", "looks right")
END = Promoted(AT + timedelta(seconds=90), D, "v2", 9, controller=3)


def test_a_whole_decision() -> None:
    facts = (STARTED, DECIDED, RetrainSubmitted(AT, D), MADE, PASSED, APPROVED, END)
    [receipt] = receipts(facts, "flights")
    assert (receipt.trigger, receipt.evidence, receipt.champion) == ("quality", EVIDENCE, "v1")
    assert (receipt.version, receipt.data_version, receipt.champion_data_version) == ("v2", "d-2", "d-1")
    assert (receipt.params, receipt.cost_cpu_s) == ({"max_depth": 6}, 81.5)
    assert (receipt.gate, receipt.answer, receipt.ending) == (PASSED, APPROVED, "promoted")
    assert receipt.ended_at == END.at
    assert render(receipt) == (
        "flights-retrain-1: promoted (looks right)",
        "  decided    2026-01-01 12:00:00 UTC: retrain, by the live quality of v1, beyond its bound 0.8",
        "  evidence   live accuracy 0.6 [0.56, 0.64] on 500 labels; 900 labels in all",
        "  made       v2: xgboost of d-2 (champion: d-1), 81.5 CPU seconds",
        "  gate       pass: accuracy 0.88 against 0.61 of v1 on 400 rows",
        "  answer     approved by ann: looks right",
        "  ended      2026-01-01 12:01:30 UTC",
    )


@pytest.mark.parametrize(
    ("facts", "ending", "reason"),
    [
        ((), "open", ""),
        ((RetrainFailed(AT, D, "no disk"),), "failed", "no disk"),
        ((RetrainLost(AT, D),), "lost", ""),
        ((RetrainTimedOut(AT, D), RetrainFailed(AT, D, "stopped")), "timed out", "stopped"),
        ((RetrainTimedOut(AT, D), MADE, PASSED, APPROVED, END), "promoted", "looks right"),
        ((MADE, replace(PASSED, verdict="fail")), "not better", "better by 0.27"),
        ((MADE, replace(PASSED, verdict="inconclusive", reasons=())), "inconclusive", ""),
        ((MADE, PASSED, Rejected(AT, "v2", "ann")), "rejected", "ann said so"),
        ((MADE, PASSED, APPROVED, PromotionFailed(AT, D, "v2", "NaN")), "promotion failed", "NaN"),
        ((MADE, PASSED, ChampionChanged(AT, "v2", 7)), "promoted by hand", "better by 0.27"),
    ],
)
def test_every_end_has_its_word(facts: tuple[Fact, ...], ending: str, reason: str) -> None:
    [receipt] = receipts((STARTED, DECIDED, *facts), "flights")
    assert (receipt.ending, receipt.reason) == (ending, reason)
    assert (receipt.ended_at is None) == (ending == "open")
    assert render(receipt)
    canonical_json(receipt.to_json())


def test_what_the_state_passed_over_plays_no_part() -> None:
    old = RetrainFailed(AT, D, "from a controller that was replaced", controller=2)
    facts = (STARTED, DECIDED, DECIDED, old, MADE, MADE, PASSED, APPROVED, END, END, old)
    assert receipts(facts, "flights") == receipts((STARTED, DECIDED, MADE, PASSED, APPROVED, END), "flights")


def test_found_by_decision_and_by_version() -> None:
    second = replace(DECIDED, decision="flights-retrain-2")
    known = receipts((STARTED, DECIDED, RetrainFailed(AT, D, "x"), second), "flights")
    assert find(known, D) == known[0]
    assert find(known, "flights-retrain-2") == known[1]
    assert find(known, "v2") is None
    made = receipts((STARTED, DECIDED, MADE), "flights")
    assert find(made, "v2") == made[0]


COST = ExpectedCost(Decay(1_000, 0.1, 20.0, 200, 0.2, 0.1, 70.0, 10.0), loss=0.5, retrain=20.0)


def test_the_cost_of_staying_is_told_with_what_is_expected_to_be_saved() -> None:
    decided = RetrainDecided(AT, D, "cost", Evidence(cost=COST), "v1")
    assert from_json("retrain_decided", json.loads(canonical_json(to_json(decided)))) == decided
    [receipt] = receipts((STARTED, decided), "flights")
    assert "a retrain is worth 35 and costs 20, so 15 is saved" in render(receipt)[2]


@pytest.mark.parametrize(
    ("trigger", "evidence", "said"),
    [
        ("hand", Evidence(by="ann", note="new fares"), "by ann: new fares"),
        ("labels", Evidence(n_new_labels=50), "50 new labels"),
        ("drift", Evidence(drifted=("a", "b")), "drift of a, b"),
        ("cost", Evidence(cost=COST), "the cost of keeping v1"),
        ("schedule", Evidence(scheduled_for=AT), "the schedule, for 2026-01-01 12:00 UTC"),
    ],
)
def test_why(trigger: Trigger, evidence: Evidence, said: str) -> None:
    decided = RetrainDecided(AT, D, trigger, evidence, "v1")
    [receipt] = receipts((STARTED, decided), "flights")
    assert said in render(receipt)[1]
    assert json.loads(canonical_json(receipt.to_json()))["trigger"] == trigger
