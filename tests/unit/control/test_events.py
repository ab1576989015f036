"""Events: to JSON and back, and what JSON cannot hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.control.clock_events import ClockJumped
from raypipe.control.events import (
    EVENTS,
    Event,
    Evidence,
    Gain,
    GateJudged,
    GateScored,
    Harm,
    Quality,
    RetrainDecided,
    RetrainSucceeded,
    RolloutScored,
    Ticked,
    from_json,
    kind_of,
    to_json,
)
from raypipe.control.expected_cost import ExpectedCost
from raypipe.control.rollout_events import CanaryStepped
from raypipe.core.errors import RegistryError
from raypipe.core.ids import canonical_json
from raypipe.monitoring.decay import Decay

AT = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)

_FLOATS = st.floats(allow_nan=True, allow_infinity=True)
_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_OF_ITS_OWN: dict[type[Event], dict[str, st.SearchStrategy[object]]] = {
    RetrainSucceeded: {
        "params": st.dictionaries(_TEXT, st.integers(0, 9) | _TEXT | st.booleans() | st.none())
    },
    CanaryStepped: {"weight": st.floats(0.01, 0.99)},
    ClockJumped: {"by_s": _FINITE, "uptime_s": _FINITE},
}
# Levels of harm and of a decay are mean losses in [0, 1], and prices are finite.
st.register_type_strategy(Harm, st.builds(Harm, at_release=_FINITE, bound=_FINITE))
st.register_type_strategy(
    Decay,
    st.builds(
        Decay,
        at_release=_FINITE,
        excess=_FINITE,
        loss_since=_FINITE,
        loss_before=st.none() | _FINITE,
        marginal=_FINITE,
        regret=_FINITE,
    ),
)
st.register_type_strategy(ExpectedCost, st.builds(ExpectedCost, loss=_FINITE, retrain=_FINITE))
_EVENTS: st.SearchStrategy[Event] = st.one_of(
    *(
        st.builds(event, at=st.datetimes(timezones=st.just(UTC)), **_OF_ITS_OWN.get(event, {}))
        for event in EVENTS
        if event not in (RolloutScored, GateScored)  # Their evidence has bets that no JSON need hold.
    )
)


@given(event=_EVENTS)
def test_every_event_comes_back_equal(event: Event) -> None:
    text = canonical_json(to_json(event))
    assert from_json(kind_of(event), json.loads(text)) == event


def test_what_was_decided_before_there_were_actions_was_a_retrain() -> None:
    old = {"at": AT.isoformat(), "decision": "d", "trigger": "labels", "evidence": {}, "champion": "v1"}
    found = from_json("retrain_decided", old)
    assert isinstance(found, RetrainDecided) and found.action == "retrain"


@given(value=_FLOATS, low=_FLOATS, high=_FLOATS)
def test_json_holds_what_was_measured(value: float, low: float, high: float) -> None:
    quality = Quality("auc", True, value, low, high, 10)
    event = RetrainDecided(AT, "d", "quality", Evidence(quality=quality), "v1")
    assert from_json(kind_of(event), json.loads(canonical_json(to_json(event)))) == event


def test_nan_is_none() -> None:
    nan, inf = float("nan"), float("inf")
    judged = GateJudged(
        AT, "d", "v2", "v1", "fail", 9, challenger_score=nan, champion_score=0.5, gain=Gain(nan, -inf, inf)
    )
    assert (judged.challenger_score, judged.champion_score, judged.gain) == (
        None,
        0.5,
        Gain(None, None, None),
    )


def test_kinds_are_distinct_and_last() -> None:
    assert sorted(kind_of_class(event) for event in EVENTS) == [
        "alert_raised",
        "alert_sent",
        "approved",
        "canary_judged",
        "canary_set",
        "canary_started",
        "canary_stepped",
        "champion_changed",
        "clock_jumped",
        "clock_set_back",
        "controller_started",
        "gate_continued",
        "gate_judged",
        "gate_scored",
        "promoted",
        "promotion_failed",
        "rejected",
        "retrain_decided",
        "retrain_failed",
        "retrain_lost",
        "retrain_requested",
        "retrain_submitted",
        "retrain_succeeded",
        "retrain_timed_out",
        "rolled_back",
        "rollout_ended",
        "rollout_scored",
        "shadow_judged",
        "shadow_started",
        "ticked",
        "window_scored",
    ]


def kind_of_class(event: type[Event]) -> str:
    return kind_of(event.__new__(event))


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        Ticked(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("retrain_forgotten", {}, "retrain_forgotten"),
        ("retrain_lost", {"at": "2026-01-01T00:00:00Z"}, "decision"),
        ("retrain_lost", {"at": "yesterday", "decision": "d"}, "at"),
        ("retrain_lost", None, "object"),
    ],
)
def test_what_is_no_event_is_refused(kind: str, value: dict[str, str] | None, said: str) -> None:
    with pytest.raises(RegistryError, match=said):
        from_json(kind, value)


@pytest.mark.parametrize(
    ("larger", "low", "high", "bound", "beyond"),
    [
        (True, 0.7, 0.79, 0.8, True),
        (True, 0.7, 0.81, 0.8, False),
        (True, None, None, 0.8, True),
        (False, 5.1, 6.0, 5.0, True),
        (False, 4.9, 6.0, 5.0, False),
    ],
)
def test_surely_beyond(
    larger: bool, low: float | None, high: float | None, bound: float, beyond: bool
) -> None:
    value = 0.75 if larger else 5.5
    assert Quality("m", larger, value, low, high, 9).surely_beyond(bound) is beyond
    assert not Quality("m", larger, None, low, high, 9).surely_beyond(bound)
