"""The gate's verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raypipe.control.events import Gain, Verdict
from raypipe.control.gate import verdict_of
from raypipe.policy.config import GateSettings
from raypipe.training.compare import Comparison

NAN = float("nan")


def compared(gain: Gain, n_rows: int = 100, score: float | None = 0.9) -> Comparison:
    return Comparison("auc", "v1", "v2", n_rows, 0.85, score, gain.value, gain.low, gain.high)


BETTER = compared(Gain(0.05, 0.01, 0.09))


@pytest.mark.parametrize(
    ("gain", "n_rows", "score", "margin", "expected"),
    [
        (Gain(0.05, 0.01, 0.09), 100, 0.9, 0.0, "pass"),
        (Gain(0.05, 0.01, 0.09), 99, 0.9, 0.0, "inconclusive"),
        (Gain(0.05, -0.01, 0.09), 100, 0.9, 0.0, "inconclusive"),
        (Gain(0.0, 0.0, 0.0), 100, 0.9, 0.0, "inconclusive"),
        (Gain(-0.05, -0.09, -0.01), 100, 0.9, 0.0, "fail"),
        (Gain(0.05, 0.01, 0.09), 100, 0.9, 0.02, "inconclusive"),
        (Gain(0.01, 0.005, 0.015), 100, 0.9, 0.02, "fail"),
        (Gain(0.05, 0.01, 0.09), 100, None, 0.0, "fail"),
        (Gain(0.05, 0.01, 0.09), 100, NAN, 0.0, "fail"),
        (Gain(NAN, 0.01, 0.09), 100, 0.9, 0.0, "inconclusive"),
        (Gain(None, None, None), 100, 0.9, 0.0, "inconclusive"),
    ],
)
def test_verdict(gain: Gain, n_rows: int, score: float | None, margin: float, expected: Verdict) -> None:
    verdict, reasons = verdict_of(compared(gain, n_rows, score), GateSettings(margin=margin))
    assert verdict == expected
    assert len(reasons) == 1


@pytest.mark.parametrize("n_rows", [3, 100])
def test_a_champion_that_cannot_be_scored_is_not_held_against_the_challenger(n_rows: int) -> None:
    silent = compared(Gain(None, None, None), n_rows)
    found = replace(silent, champion_score=None, champion_error="model.ubj is truncated")
    verdict, reasons = verdict_of(found, GateSettings())
    assert verdict == "inconclusive", "the challenger alone shows nothing, and v1 may still answer"
    assert "champion v1 cannot be scored" in reasons[0] and "model.ubj is truncated" in reasons[0]
    assert "release v2 by hand" in reasons[1]


@pytest.mark.parametrize("champion_error", ["", "v1 is damaged too"])
def test_a_challenger_that_cannot_be_scored_fails(champion_error: str) -> None:
    found = replace(BETTER, challenger_error="golden rows differ", champion_error=champion_error)
    verdict, reasons = verdict_of(found, GateSettings())
    assert verdict == "fail"
    assert reasons == ("the challenger v2 cannot be scored: golden rows differ",)


def test_rows_on_which_nobody_has_a_score_tell_nothing_of_the_challenger() -> None:
    found = replace(compared(Gain(None, None, None), score=None), champion_score=None)
    assert verdict_of(found, GateSettings()) == ("inconclusive", ("auc is not defined on these 100 rows",))
