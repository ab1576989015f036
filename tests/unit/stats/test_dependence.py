from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.bootstrap import block_length_for, bootstrap, n_blocks_in, percentile_interval
from raypipe.stats.dependence import block_length, optimal_length
from raypipe.stats.metrics import METRICS

N_STREAMS, N_ROWS = 60, 336


def mean_of(values: np.ndarray):
    return lambda weights: float(weights @ values / weights.sum())


def autoregressive(seed: int, n: int, phi: float) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n + 200)
    for i in range(1, n + 200):
        noise[i] += phi * noise[i - 1]
    return noise[200:]


def test_the_formula_of_an_autoregression() -> None:
    """For x[t] = phi x[t-1] + e the length is (1.5 (2 phi / (1 - phi**2))**2 n) ** (1/3)."""
    n, phi = 200_000, 0.7
    expected = (1.5 * (2 * phi / (1 - phi**2)) ** 2 * n) ** (1 / 3)
    assert optimal_length(autoregressive(0, n, phi)) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    "series", [np.zeros(50), np.ones(3), np.array([1.0, np.nan, 2.0, 3.0, 4.0]), np.empty(0)]
)
def test_nothing_to_see_is_a_length_of_one(series: np.ndarray) -> None:
    assert optimal_length(series) == 1.0


@given(st.integers(0, 600), st.integers(0, 1000))
def test_a_block_is_no_shorter_than_the_cube_root_and_leaves_some_to_draw(n_rows: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n_rows).cumsum()
    length = block_length([mean_of(values)], n_rows)
    least = block_length_for(n_rows)
    assert least <= length <= max(least, math.ceil(min(3 * math.sqrt(n_rows), n_rows / 3)))


def test_rows_without_order_need_no_longer_blocks() -> None:
    lengths = [block_length([mean_of(np.random.default_rng(i).normal(size=1000))], 1000) for i in range(20)]
    assert sorted(lengths)[10] == block_length_for(1000)


def test_of_many_rows_cells_are_looked_at() -> None:
    values = autoregressive(1, 20_000, 0.99)
    assert block_length([mean_of(values)], 20_000) > 5 * block_length_for(20_000)


def test_a_difference_may_depend_longer_than_its_parts() -> None:
    random = np.random.default_rng(3)
    noise, slow = 10 * random.normal(size=1000), autoregressive(3, 1000, 0.95) / 10
    alone = max(block_length([mean_of(one)], 1000) for one in (noise, noise + slow))
    assert block_length([mean_of(noise), mean_of(noise + slow)], 1000) > alone


def test_any_metric_has_a_series() -> None:
    random = np.random.default_rng(0)
    level = autoregressive(5, 900, 0.95)
    y = (random.random(900) < 1 / (1 + np.exp(-level))).astype(np.int64)
    p = 1 / (1 + np.exp(-random.normal(size=900)))
    auc = METRICS["auc"].prepare(y, np.column_stack([1 - p, p]))
    assert block_length([auc], 900) >= block_length_for(900)
    without_a_class = METRICS["auc"].prepare(np.ones(900, np.int64), np.column_stack([1 - p, p]))
    assert block_length([without_a_class], 900) == block_length_for(900)


def test_intervals_hold_what_they_promise_more_often_than_with_blocks_of_the_cube_root() -> None:
    held = {"cube root": 0, "read off": 0}
    for seed in range(N_STREAMS):
        statistic = mean_of(autoregressive(seed, N_ROWS, 0.9))
        lengths = {"cube root": block_length_for(N_ROWS), "read off": block_length([statistic], N_ROWS)}
        for name, length in lengths.items():
            draws = bootstrap([statistic], N_ROWS, seed=0, n_resamples=300, block_length=length)
            n_blocks = n_blocks_in(N_ROWS, length) if name == "read off" else None
            low, high = percentile_interval(draws[:, 0], n_blocks=n_blocks)
            held[name] += low <= 0.0 <= high
    assert held["read off"] >= 0.85 * N_STREAMS > held["cube root"]
