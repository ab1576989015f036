"""Few measured rows and many estimated ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raypipe.stats.intervals import Interval
from raypipe.stats.prediction_powered import prediction_powered


def drawn(seed: int, bias: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses of 150 rows, with estimates there and on 3,000 others; the true mean is 0.3."""
    random = np.random.default_rng(seed)
    chance = random.beta(3, 7, 3_150)
    losses = (random.random(3_150) < chance).astype(float)
    guess = np.clip(chance + bias, 0, 1)
    return losses[:150], guess[:150], guess[150:]


@pytest.mark.parametrize("bias", [0.0, -0.25])
def test_the_interval_holds_its_share_however_wrong_the_estimates(bias: float) -> None:
    found = [prediction_powered(*drawn(seed, bias)) for seed in range(400)]
    missed = np.mean([not one.low <= 0.3 <= one.high for one in found])
    assert missed <= 0.09


def test_good_estimates_narrow_it_and_useless_ones_do_not_widen_it() -> None:
    random = np.random.default_rng(0)
    truth = random.random(5_000)
    good, useless = truth + random.normal(scale=0.05, size=5_000), random.random(5_000)
    alone = prediction_powered(truth[:100], np.zeros(100), np.zeros(4_900))
    close = prediction_powered(truth[:100], good[:100], good[100:])
    loose = prediction_powered(truth[:100], useless[:100], useless[100:])
    assert close.high - close.low < 0.4 * (alone.high - alone.low)
    assert loose.high - loose.low < 1.05 * (alone.high - alone.low)
    assert alone.value == pytest.approx(truth[:100].mean())


def test_without_others_it_is_the_mean_and_without_rows_it_is_not_defined() -> None:
    found = prediction_powered(np.array([0.0, 1.0]), np.array([0.2, 0.4]), np.array([]))
    assert found.value == 0.5
    none = prediction_powered(np.array([1.0]), np.array([1.0]), np.array([1.0]))
    assert isinstance(none, Interval)
    assert math.isnan(none.value)
