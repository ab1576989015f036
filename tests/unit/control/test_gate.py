"""The gate's verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from raypipe.control.events import Gain
from raypipe.control.gate import verdict_of
from raypipe.control.happening import Verdict
from raypipe.policy.config import GateSettings
from raypipe.training.compare import Comparison
from raypipe.training.slices import Slice

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


@pytest.mark.parametrize(
    ("gain", "expected", "said"),
    [
        (Gain(0.004, -0.008, 0.016), "pass", "surely not worse by more than the 0.01 that"),
        (Gain(0.0, 0.0, 0.0), "pass", "surely not worse"),
        (Gain(0.0, -0.01, 0.01), "inconclusive", "perhaps worse by more than the 0.01 that"),
        (Gain(-0.03, -0.04, -0.02), "fail", "on 100 rows, surely worse by more than the 0.01 that"),
    ],
)
def test_a_margin_below_nothing_is_one_of_non_inferiority(gain: Gain, expected: Verdict, said: str) -> None:
    verdict, [reason] = verdict_of(compared(gain), GateSettings(margin=-0.01))
    assert (verdict, said in reason) == (expected, True), reason
    assert reason.endswith("retraining.gate.margin allows")


@pytest.mark.parametrize("margin", ["nan", "inf", "-inf"])
def test_a_margin_is_a_number(margin: str) -> None:
    with pytest.raises(ValidationError, match="margin"):
        GateSettings(margin=float(margin))


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


def test_better_in_all_and_surely_worse_for_some_fails() -> None:
    worse = Slice("colour", "red", 80, -0.2, -0.3, -0.1)
    maybe = Slice("colour", "blue", 80, -0.2, -0.4, 0.0)
    assert verdict_of(replace(BETTER, slices=(maybe,)), GateSettings())[0] == "pass"
    verdict, [reason] = verdict_of(replace(BETTER, slices=(worse, maybe)), GateSettings())
    assert verdict == "fail"
    assert reason.startswith("worse by 0.2 [0.1, 0.3] where colour is red (80 rows)")
    assert verdict_of(replace(BETTER, slices=(worse,)), GateSettings(max_slice_loss=0.2))[0] == "pass"


def test_probabilities_that_are_further_off_fail() -> None:
    off = replace(BETTER, champion_calibration=0.05, challenger_calibration=0.2)
    assert verdict_of(off, GateSettings())[0] == "fail"
    assert verdict_of(off, GateSettings(max_calibration_loss=0.2))[0] == "pass"


@pytest.mark.parametrize(
    ("limit", "said"),
    [({"max_row_ms": 5.0}, "takes 8 ms for a row"), ({"max_bytes": 1_000}, "has 2,000 bytes")],
)
def test_too_slow_or_too_large_fails_however_good(limit: dict[str, float], said: str) -> None:
    found = replace(BETTER, row_ms=8.0, n_bytes=2_000)
    assert verdict_of(found, GateSettings())[0] == "pass"
    verdict, [reason] = verdict_of(found, GateSettings.model_validate(limit))
    assert (verdict, said in reason) == ("fail", True)


def test_what_was_compared_comes_back_equal() -> None:
    found = replace(BETTER, slices=(Slice("a", "b", 80, 0.1, 0.0, 0.2),), row_ms=1.5, n_bytes=9)
    assert Comparison.from_json(found.to_json()) == found
