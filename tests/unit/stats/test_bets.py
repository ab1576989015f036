"""Bets on bounded losses: additive, never favourable without harm, quick with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.stats.bets import Bets, bets

LOSSES = st.lists(st.floats(0, 1), max_size=30)
MEANS = st.floats(0.001, 0.98)


@given(MEANS)
def test_every_bet_can_be_paid(p: float) -> None:
    assert ((bets(p) > 0) & (bets(p) < 1 / p)).all()


@given(MEANS, MEANS)
def test_no_bet_gains_on_average_while_the_mean_is_no_larger(p: float, mean: float) -> None:
    mean = min(p, mean)
    gain = mean * (1 + bets(p) * (1 - p)) + (1 - mean) * (1 - bets(p) * p)
    assert (gain <= 1 + 1e-12).all()


@given(LOSSES, LOSSES, MEANS)
def test_parts_add_up(a: list[float], b: list[float], p: float) -> None:
    whole, parts = Bets.of([*a, *b], p), Bets.of(a, p) + Bets.of(b, p)
    assert (whole.n, whole.p) == (parts.n, parts.p)
    assert parts.total == pytest.approx(whole.total, abs=1e-9)
    assert parts.log_wealth == pytest.approx(whole.log_wealth, abs=1e-9)
    assert Bets.none(p) + Bets.of(a, p) == Bets.of(a, p)


@given(LOSSES.filter(len), MEANS)
def test_a_larger_loss_is_never_less_evidence(losses: list[float], p: float) -> None:
    larger = [min(1.0, one + 0.1) for one in losses]
    assert Bets.of(larger, p).log_mean >= Bets.of(losses, p).log_mean


@given(LOSSES, MEANS)
def test_it_is_read_as_it_was_written(losses: list[float], p: float) -> None:
    found = Bets.of(losses, p)
    assert Bets.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_is_not_bets_is_refused() -> None:
    with pytest.raises(SchemaError, match="must have p, n, total, log_wealth"):
        Bets.from_json({"p": 0.1})
    with pytest.raises(SchemaError, match="must be a number"):
        Bets.from_json({"p": 0.1, "n": 1, "total": 1.0, "log_wealth": [True]})
    with pytest.raises(SchemaError, match="against one mean"):
        Bets.none(0.1) + Bets.none(0.2)
    with pytest.raises(ValueError, match=r"losses must lie in \[0, 1\]"):
        Bets.of([0.5, float("nan")], 0.1)
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        bets(1.0)


def test_losses_of_little_spread_are_bet_on_boldly() -> None:
    """A mean of 0.03 where 0.02 is allowed is plain from 500 rows that scatter little, not from events."""
    random = np.random.default_rng(0)
    calm, wild = random.uniform(0.02, 0.04, 500), (random.random(500) < 0.03).astype(float)
    assert Bets.of(calm, 0.02).log_mean > np.log(100) > Bets.of(wild, 0.02).log_mean


def test_ever_alarming_without_harm_is_rare() -> None:
    random = np.random.default_rng(1)
    p, n, n_windows = 0.1, 50, 200
    wrong = random.binomial(n, p, size=(500, n_windows)).cumsum(1)
    right = n * np.arange(1, n_windows + 1) - wrong
    logs = wrong[..., None] * np.log1p(bets(p) * (1 - p)) + right[..., None] * np.log1p(-bets(p) * p)
    peak = (np.logaddexp.reduce(logs, -1) - np.log(len(bets(p)))).max(1)
    assert (peak >= np.log(1 / 0.05)).mean() <= 0.05
