"""Gains of blocks, and bets on them."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.stats.gains import MIN_AUC_ROWS, Gains, Scale
from raypipe.stats.metrics import METRICS

CLASSES = ("auc", "accuracy", "log_loss")
AMOUNTS = ("mae", "rmse", "r2")


def drawn(metric: str, n: int, seed: int, better: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets and the answers of two predictors, the second better by as much as `better` makes it."""
    random = np.random.default_rng(seed)
    noise, of_each = random.normal(size=n), (random.normal(size=n), random.normal(size=n))
    if metric in CLASSES:
        y = (random.random(n) < 0.4).astype(np.int64)
        skills = (0.5, 0.5 + better)
        scores = [s * (2 * y - 1) + 0.5 * noise + own for s, own in zip(skills, of_each, strict=True)]
        good = [1 / (1 + np.exp(-score)) for score in scores]
        return y, *(np.stack([1 - p, p], axis=1) for p in good)
    y = random.normal(size=n)
    return y, y + noise + of_each[0], y + noise + of_each[1] / (1 + better)


@pytest.mark.parametrize("metric", [*CLASSES, *AMOUNTS])
def test_blocks_gain_what_the_score_gains(metric: str) -> None:
    y, old, new = drawn(metric, 6_000, 1, better=0.5)
    score = METRICS[metric]
    scale = Scale.of(metric, y[:3_000], old[:3_000], new[:3_000], margin=0.0, block_rows=60)
    assert scale is not None
    wide = Scale(scale.block_rows, 100.0, scale.unit)
    found = Gains.of(metric, y, old, new, wide, margin=0.0)
    assert found.better.mean is not None
    of_blocks = (2 * found.better.mean - 1) * wide.bound
    assert of_blocks == pytest.approx(score.gain(score(y, new), score(y, old)), rel=0.1)
    assert found.better.n == 6_000 // scale.block_rows


@pytest.mark.parametrize("metric", ["auc", "mae"])
def test_a_gain_is_found_either_way_and_its_absence_is_not(metric: str) -> None:
    y, old, new = drawn(metric, 4_000, 2, better=1.0)
    scale = Scale.of(metric, y[:300], old[:300], new[:300], margin=0.0)
    assert scale is not None
    found = Gains.of(metric, y[300:], old[300:], new[300:], scale, margin=0.0)
    assert (found.is_above, found.is_below) == (True, False)
    turned = Gains.of(metric, y[300:], new[300:], old[300:], scale, margin=0.0)
    assert (turned.is_above, turned.is_below) == (False, True)
    gain = METRICS[metric].gain(METRICS[metric](y, new), METRICS[metric](y, old))
    at_it = Gains.of(metric, y[300:], old[300:], new[300:], scale, margin=gain)
    assert (at_it.is_above, at_it.is_below) == (False, False)


def test_of_none_better_few_are_ever_thought_so() -> None:
    n_wrong = 0
    for seed in range(40):
        y, old, new = drawn("accuracy", 900, seed)
        scale = Scale.of("accuracy", y[:200], old[:200], new[:200], margin=0.0)
        assert scale is not None
        ends = range(200 + 10 * scale.block_rows, 901, 20 * scale.block_rows)
        looks = [
            Gains.of("accuracy", y[200:end], old[200:end], new[200:end], scale, margin=0.0) for end in ends
        ]
        n_wrong += any(look.is_above for look in looks)
    assert n_wrong <= 3


def test_a_block_of_one_class_grows_until_there_are_two() -> None:
    y = np.array([0] * 30 + [1, 0, 1] * 10)
    p = np.linspace(0, 1, 60)
    answers = np.stack([1 - p, p], axis=1)
    found = Gains.of("auc", y, answers, answers[::-1], Scale(MIN_AUC_ROWS, 1.0), margin=0.0)
    assert (found.better.n, found.n_rows) == (1 + 29 // MIN_AUC_ROWS, 31 + 29 // MIN_AUC_ROWS * MIN_AUC_ROWS)


def test_what_tells_no_scale() -> None:
    y, old, new = drawn("accuracy", 100, 3)
    assert Scale.of("accuracy", y, old, old, margin=0.0) is None, "both answer alike"
    assert Scale.of("accuracy", y[:5], old[:5], new[:5], margin=0.0) is None, "too few blocks"
    assert Scale.of("auc", y[:40], old[:40], new[:40], margin=0.0) is None
    assert Scale.of("accuracy", y[:0], old[:0], new[:0], margin=0.0) is None


@pytest.mark.parametrize("metric", ["auc", "mae"])
def test_rows_that_follow_are_added(metric: str) -> None:
    y, old, new = drawn(metric, 500, 4, better=0.3)
    scale = Scale.of(metric, y, old, new, margin=0.0)
    assert scale is not None
    found = Gains.of(metric, y[:0], old[:0], new[:0], scale, margin=0.0)
    for end in (7, 100, 260, 500):
        start = found.n_rows
        found += Gains.of(metric, y[start:end], old[start:end], new[start:end], scale, margin=0.0)
    whole = Gains.of(metric, y, old, new, scale, margin=0.0)
    assert (found.n_rows, found.better.n) == (whole.n_rows, whole.better.n)
    assert found.better.log_mean == pytest.approx(whole.better.log_mean)


def test_no_row_is_no_evidence() -> None:
    y, old, new = drawn("mae", 3, 0)
    found = Gains.of("mae", y, old, new, Scale(5, 1.0), margin=0.0)
    assert (found.n_rows, found.better.n, found.is_above, found.is_below) == (0, 0, False, False)
