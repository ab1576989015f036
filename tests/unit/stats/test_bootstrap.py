from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.bootstrap import (
    block_length_for,
    bootstrap,
    n_resamples_for,
    percentile_interval,
    resampled_weights,
)


def mean_of(values: np.ndarray):
    return lambda weights: float(weights @ values / weights.sum())


@given(st.integers(1, 10**9))
def test_block_length_is_the_cube_root_rounded_up(n_rows: int) -> None:
    length = block_length_for(n_rows)
    assert (length - 1) ** 3 < n_rows <= length**3


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(0, 1000), (20_000, 1000), (50_000, 400), (100_000, 200), (10**7, 200)]
)
def test_resamples_fall_as_rows_grow(n_rows: int, expected: int) -> None:
    assert n_resamples_for(n_rows) == expected


@given(st.integers(1, 200), st.integers(1, 30), st.integers(0, 1000))
def test_each_resample_draws_as_many_rows_as_there_are(n_rows: int, block_length: int, seed: int) -> None:
    for weights in resampled_weights(n_rows, n_resamples=5, block_length=block_length, seed=seed):
        assert weights.shape == (n_rows,)
        assert weights.min() >= 0
        assert weights.sum() == n_rows


def test_blocks_cover_neighbours_and_run_over_the_end() -> None:
    resamples = list(resampled_weights(40, n_resamples=200, block_length=20, seed=1))
    for weights in resamples:
        steps = np.flatnonzero(np.diff(np.concatenate([weights, weights[:1]])))
        assert len(steps) <= 4  # two blocks begin and end at most four times
    over_the_end = [weights for weights in resamples if weights[0] == weights[-1] == 1]
    assert over_the_end


@pytest.mark.parametrize("block_length", [1, 7])
def test_every_row_is_drawn_equally_often(block_length: int) -> None:
    total = sum(resampled_weights(30, n_resamples=4000, block_length=block_length, seed=0))
    assert isinstance(total, np.ndarray)
    assert total / 4000 == pytest.approx(np.ones(30), abs=0.15)


def test_equal_seeds_give_equal_draws() -> None:
    values = np.random.default_rng(0).normal(size=50)
    first, second, other = (bootstrap([mean_of(values)], 50, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_differences_of_columns_are_paired() -> None:
    values = np.random.default_rng(0).normal(size=200)
    draws = bootstrap([mean_of(values), mean_of(values + 0.01)], 200, seed=0)
    low, high = percentile_interval(draws[:, 1] - draws[:, 0])
    assert (low, high) == pytest.approx((0.01, 0.01))


def test_undefined_draws_are_left_out() -> None:
    assert percentile_interval(np.array([math.nan, 1.0, 1.0, math.nan])) == (1.0, 1.0)
    assert all(math.isnan(end) for end in percentile_interval(np.array([math.nan])))


def test_no_rows_give_no_interval() -> None:
    draws = bootstrap([mean_of(np.empty(0))], 0, seed=0)
    assert all(math.isnan(end) for end in percentile_interval(draws[:, 0]))


def coverage(series: list[np.ndarray], block_length: int) -> float:
    """Return how often the interval of the mean holds the true mean, 0."""
    n_rows = len(series[0])
    resamples = list(resampled_weights(n_rows, n_resamples=400, block_length=block_length, seed=9))
    draws = np.array(series) @ np.array(resamples).T / n_rows
    ends = [percentile_interval(row) for row in draws]
    return sum(low <= 0 <= high for low, high in ends) / len(ends)


def autocorrelated(random: np.random.Generator, n_rows: int, rho: float) -> np.ndarray:
    noise = random.normal(size=n_rows)
    series = np.empty(n_rows)
    last = random.normal() / math.sqrt(1 - rho**2)
    for i, shock in enumerate(noise):
        last = rho * last + shock
        series[i] = last
    return series


def test_ninety_five_percent_of_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(5)
    series = [random.exponential(size=300) - 1.0 for _ in range(400)]
    assert coverage(series, 1) == pytest.approx(0.95, abs=0.03)


def test_blocks_mend_most_of_what_neighbours_break() -> None:
    random = np.random.default_rng(6)
    series = [autocorrelated(random, 1000, 0.5) for _ in range(300)]
    row_by_row, in_blocks = coverage(series, 1), coverage(series, block_length_for(1000))
    assert row_by_row < 0.80
    assert in_blocks > 0.88
