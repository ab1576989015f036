from __future__ import annotations

import json
import math

import pytest

from raypipe.stats.intervals import Interval


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]
)
def test_an_interval_on_one_side_excludes_zero(low: float, high: float, expected: bool) -> None:
    assert Interval(0.05, low, high).excludes_zero is expected


def test_an_undefined_interval_excludes_nothing_and_survives_json() -> None:
    interval = Interval.from_json(json.loads(json.dumps(Interval(math.nan, math.nan, math.nan).to_json())))
    assert math.isnan(interval.value) and not interval.excludes_zero


def test_json_gives_it_back() -> None:
    interval = Interval(0.1, 0.05, 1 / 3)
    assert Interval.from_json(json.loads(json.dumps(interval.to_json()))) == interval


def test_json_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="three numbers"):
        Interval.from_json([1.0])
