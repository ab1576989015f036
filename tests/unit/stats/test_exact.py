from __future__ import annotations

import json
import math
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.stats.exact import ExactMoments

ANY = st.floats(width=64)


def moments(values: list[float]) -> ExactMoments:
    return ExactMoments.of(np.array(values, np.float64))


@given(st.lists(st.lists(ANY, max_size=8), max_size=6), st.randoms(use_true_random=False))
def test_any_split_in_any_order_gives_one_state(blocks: list[list[float]], random: Random) -> None:
    whole = moments([value for block in blocks for value in block])
    parts = [moments(block) for block in blocks]
    random.shuffle(parts)
    merged = ExactMoments()
    for part in parts:
        merged = merged.merge(part)
    assert merged == whole


@given(st.lists(st.floats(-1e100, 1e100), min_size=1))
def test_mean_and_variance_are_rounded_once(values: list[float]) -> None:
    found, n = moments(values), len(values)
    mean = sum(map(Fraction, values)) / n
    assert found.mean == float(mean)
    assert found.variance == float(sum((Fraction(value) - mean) ** 2 for value in values) / n)


def test_variance_of_values_far_from_zero() -> None:
    assert moments([1e15, 1e15 + 1] * 500).variance == 0.25


def test_unsorted_values_of_many_magnitudes() -> None:
    values = np.random.default_rng(0).normal(size=20_000) * 10.0 ** np.arange(-100, 100).repeat(100)
    np.random.default_rng(1).shuffle(values)
    assert ExactMoments.of(values).sum == math.fsum(values)


def test_nan_and_infinities_are_counted_and_not_summed() -> None:
    found = moments([1.0, math.nan, math.inf, -math.inf, math.inf, 2.0])
    assert (found.n, found.n_nan, found.n_positive_infinite, found.n_negative_infinite) == (2, 1, 2, 1)
    assert (found.n_infinite, found.sum, found.mean, found.variance) == (3, 3.0, 1.5, 0.25)


def test_no_values() -> None:
    found = moments([math.nan])
    assert (found.sum, found.mean, found.variance, found.min, found.max) == (0.0, None, None, None, None)
    assert found.merge(moments([2.0])).min == 2.0


def test_the_ends_are_of_finite_values_and_know_one_zero() -> None:
    found = moments([math.inf, 3.0, -0.0, math.nan])
    assert (found.min, found.max) == (0.0, 3.0)
    assert math.copysign(1.0, found.min or 0.0) == 1.0


def test_what_passes_float64_is_infinite() -> None:
    found = moments([1.7e308, 1.7e308])
    assert (found.sum, found.mean) == (math.inf, 1.7e308)
    assert moments([-1.7e308, -1.7e308]).sum == -math.inf
    assert moments([1.7e308, -1.7e308]).variance == math.inf
    assert moments([1.0, 1e200]).variance == math.inf


@given(st.lists(ANY))
def test_json_round_trip(values: list[float]) -> None:
    found = moments(values)
    assert ExactMoments.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("value", [None, {}, {"n": 1}, [1, 2]])
def test_other_json_is_refused(value: None) -> None:
    with pytest.raises(SchemaError, match="Moments must"):
        ExactMoments.from_json(value)
