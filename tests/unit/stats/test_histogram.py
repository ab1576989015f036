from __future__ import annotations

import json
import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.stats.histogram import QuantileSketch, order_keys, values_of_keys

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SHARES = st.floats(0, 1)


def sketch(values: list[float], bound: int = 8) -> QuantileSketch:
    return QuantileSketch.of(np.array(values, np.float64), bound=bound)


@given(st.lists(FINITE))
def test_keys_have_the_order_of_the_values(values: list[float]) -> None:
    array = np.array(values, np.float64)
    keys = order_keys(array)
    assert np.array_equal(np.sort(keys), order_keys(np.sort(array)))
    assert np.array_equal(values_of_keys(keys), array)


def test_zeros_have_one_key() -> None:
    assert np.array_equal(order_keys(np.array([0.0, -0.0])), [0, 0])


@given(
    st.lists(st.lists(FINITE, max_size=12), max_size=6), st.integers(2, 8), st.randoms(use_true_random=False)
)
def test_any_split_in_any_order_gives_one_state(
    blocks: list[list[float]], bound: int, random: Random
) -> None:
    whole = sketch([value for block in blocks for value in block], bound)
    parts = [sketch(block, bound) for block in blocks]
    random.shuffle(parts)
    merged = QuantileSketch(bound)
    for part in parts:
        merged = merged.merge(part)
    assert merged == whole


@given(st.lists(FINITE, min_size=1), st.integers(2, 8))
def test_the_shift_is_the_smallest_within_the_bound(values: list[float], bound: int) -> None:
    found = sketch(values, bound)
    keys = order_keys(np.array(values))
    assert len(found.buckets) <= bound
    assert set(found.buckets) == set((keys >> found.shift).tolist())
    assert found.shift == 0 or len(set((keys >> (found.shift - 1)).tolist())) > bound


@given(st.lists(FINITE, min_size=1, max_size=8), SHARES)
def test_quantiles_of_few_values_are_exact(values: list[float], q: float) -> None:
    assert sketch(values).quantile(q) == np.quantile(values, q, method="inverted_cdf")


@given(st.lists(FINITE, min_size=1), SHARES)
def test_quantiles_lie_in_the_bucket_of_the_exact_one(values: list[float], q: float) -> None:
    found = sketch(values)
    quantile = found.quantile(q)
    exact = np.quantile(values, q, method="inverted_cdf")
    assert quantile is not None
    assert min(values) <= quantile <= max(values)
    keys = order_keys(np.array([quantile, exact])) >> found.shift
    assert keys[0] == keys[1]


def test_resolution_is_as_documented() -> None:
    random = np.random.default_rng(0)
    normal = random.normal(size=200_000)
    times = random.uniform(1.6e15, 1.6e15 + 3e13, size=200_000)
    for values, tolerance in ((normal, 0.01), (times, 1e-5)):
        found = QuantileSketch.of(values)
        for q in (0.05, 0.25, 0.75, 0.95):
            assert found.quantile(q) == pytest.approx(np.quantile(values, q), rel=tolerance)


def test_counts_stand_for_repetition() -> None:
    counted = QuantileSketch.of(np.array([3.0, 1.0]), np.array([1, 3]))
    assert counted == sketch([1.0, 3.0, 1.0, 1.0], bound=counted.bound)
    assert (counted.n, counted.quantile(0.75), counted.quantile(0.76)) == (4, 1.0, 3.0)


def test_ends_of_the_range() -> None:
    found = sketch([-1.7e308, 1.7e308, *np.linspace(-1, 1, 20)], bound=2)
    assert (found.quantile(0), found.quantile(1)) == (-1.7e308, 1.7e308)
    assert all(math.isfinite(found.quantile(q) or 0) for q in np.linspace(0, 1, 23))


def test_no_values_have_no_quantile() -> None:
    assert sketch([]).quantile(0.5) is None
    assert sketch([]).merge(sketch([1.0])) == sketch([1.0])


def test_bounds_must_agree() -> None:
    with pytest.raises(SchemaError, match="one bound"):
        sketch([], bound=2).merge(sketch([], bound=3))


@given(st.lists(FINITE))
def test_json_round_trip(values: list[float]) -> None:
    found = sketch(values)
    assert QuantileSketch.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_other_json_is_refused() -> None:
    good = sketch([1.0]).to_json()
    for bad in (None, {}, {**good, "counts": "a"}, {**good, "shift": "0"}):
        with pytest.raises(SchemaError, match="sketch must"):
            QuantileSketch.from_json(bad)


def test_many_zeros_among_other_numbers_have_the_quantile_zero() -> None:
    others = np.random.default_rng(0).uniform(10_000, 75_000, 9_000)
    sketch = QuantileSketch.of(np.concatenate([np.zeros(10_000), others]))
    assert sketch.shift > 0
    assert sketch.quantile(0.25) == sketch.quantile(0.5) == 0.0
