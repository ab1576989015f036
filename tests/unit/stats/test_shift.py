"""How far values have moved: counted in the same bins, never estimated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.counts import ValueCounts
from raypipe.stats.histogram import QuantileSketch
from raypipe.stats.shift import number_bins, psi, value_bins

values = st.lists(st.floats(-1e6, 1e6), max_size=60)
texts = st.lists(st.sampled_from("abcdefgh"), max_size=60)


def sketch(numbers: list[float], bound: int = 8) -> QuantileSketch:
    return QuantileSketch.of(np.array(numbers, np.float64), bound=bound)


def counts(found: list[str], bound: int = 5) -> ValueCounts:
    distinct = sorted(set(found))
    return ValueCounts.of_texts(distinct, [found.count(one) for one in distinct], bound)


def test_bins_are_tenths_of_what_was_before() -> None:
    before = sketch([float(n) for n in range(100)], bound=4096)
    after = sketch([-5.0, 12.0, 95.0, 99.0, 150.0, 151.0], bound=4096)
    first, last = number_bins(before, after, 10)
    assert first == (0, *[10] * 10, 0)
    assert last == (1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2)


@given(values, values)
def test_every_value_is_in_one_bin(before: list[float], after: list[float]) -> None:
    first, last = number_bins(sketch(before), sketch(after), 4)
    assert (sum(first), sum(last)) == (len(before), len(after))
    assert len(first) == len(last)


@given(values.filter(bool))
def test_equal_values_have_not_moved(numbers: list[float]) -> None:
    first, last = number_bins(sketch(numbers), sketch(numbers[::-1]), 4)
    assert first == last and psi(last, first) == 0


def test_without_values_before_all_are_new() -> None:
    assert number_bins(sketch([]), sketch([1.0, 2.0]), 4) == ((0, 0), (0, 2))


def test_the_most_frequent_values_have_bins_of_their_own() -> None:
    first, last = value_bins(counts(list("aaabbcd"), 50), counts(list("bxx"), 50), 2)
    assert (first, last) == ((3, 2, 2), (0, 1, 2))


@given(texts, texts)
def test_values_beyond_the_bound_count_on_both_sides_or_on_none(before: list[str], after: list[str]) -> None:
    one, other = counts(before), counts(after)
    first, last = value_bins(one, other, 3)
    kept = set(one.at_level_of(other)) | set(other.at_level_of(one))
    assert sum(first) == sum(text in kept for text in before)
    assert sum(last) == sum(text in kept for text in after)


def test_a_shift_is_seen() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(0, 1, 20_000).tolist(), rng.normal(1, 1, 20_000).tolist()
    first, last = number_bins(sketch(before, 4096), sketch(after, 4096), 10)
    # That of the densities is 1.
    assert psi(last, first) == pytest.approx(1.0, abs=0.2)
