"""Bounds of means in [0, 1]: by hand, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from raypipe.stats.proportions import bounded_upper_bound, clopper_pearson, lasting_interval, upper_bound


@given(st.integers(0, 200), st.integers(1, 200), st.floats(0.001, 0.3))
def test_at_the_bound_so_few_events_are_just_too_rare(n_events: int, n: int, delta: float) -> None:
    n_events = min(n_events, n)
    bound = upper_bound(n_events, n, delta=delta)
    if n_events == n:
        assert bound == 1
    else:
        assert binom.cdf(n_events, n, bound) == pytest.approx(delta, rel=1e-6)


@given(st.integers(0, 50), st.integers(1, 50))
def test_an_interval_is_symmetric_and_holds_its_share(n_events: int, n: int) -> None:
    n_events = min(n_events, n)
    low, high = clopper_pearson(n_events, n)
    assert low <= n_events / n <= high
    assert clopper_pearson(n - n_events, n) == pytest.approx((1 - high, 1 - low))


def test_nothing_in_a_thousand_is_still_up_to_four() -> None:
    assert clopper_pearson(0, 1_000) == pytest.approx((0.0, 0.003682), abs=1e-5)


def test_the_bound_of_losses_holds_and_is_close_where_they_scatter_little() -> None:
    random = np.random.default_rng(0)
    drawn = random.beta(2, 18, size=(400, 500))
    assert np.mean([bounded_upper_bound(one, delta=0.05) < 0.1 for one in drawn]) <= 0.05
    assert bounded_upper_bound(drawn[0], delta=0.05) < drawn[0].mean() + 0.04
    assert bounded_upper_bound(np.array([0.5]), delta=0.05) == 1
    assert bounded_upper_bound(np.ones(100), delta=0.05) == 1


@given(st.integers(0, 300), st.integers(1, 300))
def test_a_lasting_interval_is_wider_than_one_for_one_look(n_events: int, n: int) -> None:
    n_events = min(n_events, n)
    low, high = lasting_interval(n_events, n)
    exact_low, exact_high = clopper_pearson(n_events, n, level=0.9)
    assert low <= exact_low <= exact_high <= high


def test_a_lasting_interval_holds_at_all_times_at_once() -> None:
    random = np.random.default_rng(1)
    missed = 0
    for _ in range(100):
        totals = random.random((300,)).round(1).cumsum()
        looks = (lasting_interval(totals[n - 1], n) for n in range(10, 301, 10))
        missed += any(not low <= 0.5 <= high for low, high in looks)
    assert missed <= 5
    assert lasting_interval(0.0, 0) == (0.0, 1.0)
