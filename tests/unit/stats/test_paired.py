"""Several predictors on the same rows: scores as the metric's, gains paired."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raypipe.stats.bootstrap import bootstrap, n_blocks_in, percentile_interval
from raypipe.stats.dependence import block_length
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import METRICS
from raypipe.stats.paired import paired

RANDOM = np.random.default_rng(7)
Y = (RANDOM.random(203) < 0.4).astype(np.int64)
GOOD = np.column_stack([1 - Y * 0.6, Y * 0.6]) + RANDOM.normal(scale=0.3, size=(203, 2))
COIN = RANDOM.random((203, 2))


def test_a_score_is_the_metric_with_the_interval_of_the_bootstrap() -> None:
    metric = METRICS["auc"]
    found = paired(metric, Y, {"coin": COIN, "good": GOOD}, seed=3)
    scored = [metric.prepare(Y, answers) for answers in (COIN, GOOD)]
    length = block_length(scored, len(Y))
    draws = bootstrap(scored, len(Y), seed=3, block_length=length)
    ends = percentile_interval(draws[:, 1], n_blocks=n_blocks_in(len(Y), length))
    assert found.score("good") == Interval(metric(Y, GOOD), *ends)


def test_a_gain_is_paired_and_positive_is_better_whatever_the_metric() -> None:
    y = RANDOM.normal(size=120)
    noise = RANDOM.normal(size=120)
    found = paired(METRICS["mae"], y, {"near": y + noise, "far": y + noise + np.sign(noise)}, seed=0)
    gain = found.gain("near", over="far")
    assert (gain.value, gain.low, gain.high) == pytest.approx((1.0, 1.0, 1.0))
    assert found.gain("far", over="near").value == pytest.approx(-1.0)
    assert found.gain("near", over="near") == Interval(0.0, 0.0, 0.0)
    aucs = paired(METRICS["auc"], Y, {"good": GOOD, "coin": COIN}, seed=0)
    assert aucs.gain("good", over="coin").low > 0


def test_blocks_are_as_long_as_runs_of_errors_ask_for() -> None:
    runs = np.repeat(RANDOM.integers(0, 2, 40), 50).astype(np.float64)

    def width(block_length: int | None) -> float:
        found = paired(METRICS["mae"], np.zeros(2000), {"runs": runs}, seed=0, block_length=block_length)
        return found.score("runs").high - found.score("runs").low

    assert width(1) < width(13) < width(None)


def test_what_rows_do_not_define_is_nan() -> None:
    found = paired(METRICS["auc"], np.zeros(9, np.int64), {"good": GOOD[:9], "coin": COIN[:9]}, seed=0)
    assert math.isnan(found.score("good").value) and math.isnan(found.gain("good", over="coin").low)
