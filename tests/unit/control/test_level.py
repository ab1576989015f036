"""What a champion scored before it was harmed, and how long its successors are asked to come back to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.control.actions import Record, SubmitRetrain
from raypipe.control.events import (
    ControllerStarted,
    Event,
    GateJudged,
    Harm,
    Promoted,
    Quality,
    RetrainDecided,
    RetrainSucceeded,
    WindowScored,
)
from raypipe.control.happening import Verdict
from raypipe.control.level import MAX_UNHELPFUL, Level, Lost, after_harm, level_text
from raypipe.control.receipts import receipts, render
from raypipe.control.state import State
from raypipe.control.step import step
from raypipe.policy.config import RetrainingSettings

START = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE = Level("v1", "auc", True, 0.96, 0.94, 0.98)
HARM = Harm(0.4, 0.1, 0.12, 500)
FEW = 200


def live_auc(value: float) -> Quality:
    return Quality("auc", True, value, value - 0.02, value + 0.02, 500)


class Loop:
    """A controller, told what is seen; each retrain is judged at once."""

    def __init__(self, **settings: Any) -> None:
        self.settings = RetrainingSettings.model_validate(
            {"warm_up_labels": FEW, "cool_down_s": 0, "max_per_day": 1_000, **settings}
        )
        self.state = State("p")
        self.facts: list[Any] = []
        self.now = START
        self.tell(ControllerStarted(START, 1, "v1", champion_epoch=1, controller=1))

    def tell(self, event: Event) -> list[Any]:
        self.state, actions = step(self.state, event, self.settings)
        self.facts += [action.fact for action in actions if isinstance(action, Record)]
        return [action for action in actions if not isinstance(action, Record)]

    def sees(self, n_labels: int, quality: Quality | None, harm: Harm | None = None) -> bool:
        """Show a window of the champion; return whether a retrain follows."""
        self.now += timedelta(seconds=1)
        level = BEFORE if self.state.champion == "v1" else None
        champion = self.state.champion or ""
        window = WindowScored(self.now, champion, n_labels, quality, (), harm, level=level)
        return any(isinstance(action, SubmitRetrain) for action in self.tell(window))

    def ends(self, verdict: Verdict = "pass") -> None:
        """Let the retrain under way make a version that the gate judges so."""
        decision, champion = self.state.decision or "", self.state.champion
        version = f"v{self.state.n_decisions + 1}"
        self.tell(RetrainSucceeded(self.now, decision, version, "d-2", controller=1))
        self.tell(GateJudged(self.now, decision, version, champion, verdict, 400, controller=1))
        if verdict == "pass":
            epoch = self.state.champion_epoch + 1
            self.tell(Promoted(self.now, decision, version, epoch, controller=1))
            assert self.state.champion == version


def harmed(**settings: Any) -> Loop:
    """Return a loop whose harmed champion of 500 labels was replaced."""
    loop = Loop(**settings)
    assert loop.sees(500, live_auc(0.5), HARM)
    loop.ends()
    return loop


def test_a_successor_that_is_not_back_is_replaced_when_labels_have_doubled() -> None:
    loop = harmed()
    assert not loop.sees(699, live_auc(0.7)), "warm-up"
    assert loop.sees(700, live_auc(0.7))
    loop.ends()
    assert not loop.sees(899, live_auc(0.8))
    assert loop.sees(900, live_auc(0.8))
    loop.ends()
    assert not loop.sees(1_299, live_auc(0.9)), "400 labels since the harm were learned from"
    assert loop.sees(1_300, live_auc(0.9))
    *_, last = (fact for fact in loop.facts if isinstance(fact, RetrainDecided))
    assert (last.trigger, last.evidence.level, last.evidence.harm) == ("harm", BEFORE, None)


def test_one_that_may_be_back_is_left_alone() -> None:
    loop = harmed()
    assert not loop.sees(5_000, live_auc(0.93)), "its interval reaches .95, that of before .94"
    assert not loop.sees(6_000, None)
    assert not loop.sees(7_000, replace(live_auc(0.5), metric="accuracy"))


def test_it_is_over_when_retrains_in_a_row_do_not_help() -> None:
    loop = harmed()
    n_labels = 1_000
    for _ in range(MAX_UNHELPFUL):
        assert loop.state.lost is not None
        assert loop.sees(n_labels, live_auc(0.7))
        loop.ends("fail")
        n_labels *= 4
    assert loop.state.lost is None
    loop.now += timedelta(days=1)
    assert not loop.sees(10**9, live_auc(0.7))
    assert loop.sees(10**9, live_auc(0.6), HARM), "harm of the champion itself asks as ever"


@pytest.mark.parametrize("harm", ["off", "alert", "rollback"])
def test_only_where_harm_leads_to_a_model_of_new_rows(harm: str) -> None:
    loop = Loop(triggers={"harm": harm, "quality_bound": 0.55})
    assert loop.sees(500, live_auc(0.5), HARM)
    loop.ends()
    assert loop.state.lost == Lost(BEFORE, "v1", 500)
    assert not loop.sees(50_000, live_auc(0.7))


def test_harm_to_a_slice_loses_no_level() -> None:
    loop = Loop(triggers={"quality_bound": 0.55})
    assert loop.sees(500, live_auc(0.5), replace(HARM, slices=("colour = red",)))
    assert loop.state.lost is None


@given(growth=st.lists(st.integers(1, 2_000), min_size=1, max_size=60))
def test_retrains_are_at_most_one_for_each_doubling(growth: list[int]) -> None:
    loop, n_labels, n_retrains = harmed(), 500, 0
    for more in growth:
        n_labels += more
        if loop.sees(n_labels, live_auc(0.7)):
            n_retrains += 1
            loop.ends()
    learned = max(1.0, (n_labels - 500) / FEW)
    assert 2 ** (n_retrains - 2) < learned or n_retrains <= 1


def test_the_best_level_counts_until_a_champion_is_back() -> None:
    lost = after_harm(None, BEFORE, 500)
    assert lost == Lost(BEFORE, "v1", 500)
    assert after_harm(lost, BEFORE, 900) == lost, "what is harmed still was harmed then"
    worse = Level("v2", "auc", True, 0.7, 0.6, 0.8)
    assert after_harm(lost, worse, 900) == Lost(BEFORE, "v2", 900)
    better = Level("v2", "auc", True, 0.97, 0.95, 0.99)
    assert after_harm(lost, better, 900) == Lost(better, "v2", 900)
    assert after_harm(lost, replace(worse, metric="accuracy"), 900) == Lost(
        replace(worse, metric="accuracy"), "v2", 900
    )
    assert after_harm(lost, None, 900) == lost and after_harm(lost, worse, None) == lost


def test_smaller_errors_are_better() -> None:
    small, large = (Level("v1", "mae", False, value, value - 1, value + 1) for value in (3.0, 5.0))
    assert (small.worse_end, small.is_better_than(large), large.is_better_than(small)) == (4.0, True, False)
    unknown = Level("v1", "mae", False, float("nan"), None, None)
    assert (unknown.worse_end, unknown.is_better_than(small), small.is_better_than(unknown)) == (
        None,
        False,
        True,
    )
    lost = Lost(small, "v1", 10)
    assert lost.is_still("v2", Quality("mae", False, 6.0, 4.1, 8.0, 100))
    assert not lost.is_still("v2", Quality("mae", False, 6.0, 3.9, 8.0, 100))
    assert not lost.is_still("v1", Quality("mae", False, 6.0, 4.1, 8.0, 100)), "harm tells of that one itself"
    assert not Lost(unknown, "v1", 10).is_still("v2", Quality("mae", False, 6.0, 4.1, 8.0, 100))


def test_the_receipt_says_why() -> None:
    loop = harmed()
    loop.sees(700, live_auc(0.7))
    first, second = receipts(loop.facts, "p")
    assert "harm: mean loss 0.4, 0.1 at release, surely above 0.12 on 500 labels" in render(first)[2]
    assert "auc 0.96 [0.94, 0.98] of v1 at release" in render(first)[2]
    assert render(second)[1].endswith(f"v2 is not back at the {level_text(BEFORE)}, which was harmed")
