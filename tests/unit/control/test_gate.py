"""The gate's verdict."""

from __future__ import annotations

import pytest

from raypipe.control.events import Gain, Verdict
from raypipe.control.gate import verdict_of
from raypipe.policy.config import GateSettings


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
        (Gain(0.05, 0.01, 0.09), 100, float("nan"), 0.0, "fail"),
        (Gain(float("nan"), 0.01, 0.09), 100, 0.9, 0.0, "inconclusive"),
        (Gain(None, None, None), 100, 0.9, 0.0, "inconclusive"),
    ],
)
def test_verdict(gain: Gain, n_rows: int, score: float | None, margin: float, expected: Verdict) -> None:
    verdict, reasons = verdict_of(gain, n_rows, score, GateSettings(margin=margin))
    assert verdict == expected
    assert len(reasons) == 1
