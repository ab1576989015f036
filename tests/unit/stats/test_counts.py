from __future__ import annotations

import json
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.stats.counts import Counted, ValueCounts

TEXTS = st.text(max_size=3)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
COLUMNS = st.sampled_from([TEXTS, INTEGERS, NUMBERS])


def counts_of(values: list[Counted], bound: int) -> ValueCounts:
    counter = Counter(values)
    distinct, counts = list(counter), list(counter.values())
    if values and not isinstance(values[0], str):
        kind = np.int64 if isinstance(values[0], int) else np.float64
        return ValueCounts.of_numbers(np.array(distinct, kind), np.array(counts, np.int64), bound)
    return ValueCounts.of_texts([str(value) for value in distinct], counts, bound)


@given(st.data(), st.integers(1, 8), st.randoms(use_true_random=False))
def test_any_split_in_any_order_gives_one_state(data: st.DataObject, bound: int, random: Random) -> None:
    values = data.draw(COLUMNS)
    blocks = data.draw(st.lists(st.lists(values, max_size=12), max_size=6))
    whole = counts_of([value for block in blocks for value in block], bound)
    parts = [counts_of(block, bound) for block in blocks]
    random.shuffle(parts)
    merged = ValueCounts(bound)
    for part in parts:
        merged = merged.merge(part)
    assert merged == whole
    assert merged.to_json() == whole.to_json()


@given(st.data(), st.integers(1, 8))
def test_kept_values_have_exact_counts(data: st.DataObject, bound: int) -> None:
    values = data.draw(st.lists(data.draw(COLUMNS), max_size=40))
    found, exact = counts_of(values, bound), Counter(values)
    assert len(found.counts) <= bound
    assert all(exact[value] == count for value, count in found.counts.items())
    assert found.is_exact == (len(exact) <= bound)
    assert not found.is_exact or found.counts == exact


@given(st.data(), st.integers(1, 8))
def test_repeated_numbers_are_counted_as_distinct_ones_are(data: st.DataObject, bound: int) -> None:
    kind = data.draw(st.sampled_from([np.int64, np.float64]))
    values = np.array(data.draw(st.lists(st.integers(-3, 40), max_size=60)), kind) / (
        1 if kind is np.int64 else 7
    )
    repeated = values.astype(kind)
    distinct, counts = np.unique(repeated, return_counts=True)
    assert ValueCounts.of_repeated(repeated, bound) == ValueCounts.of_numbers(distinct, counts, bound)


@pytest.mark.parametrize("n_distinct", [1, 3, 900, 5000, 40_000])
@pytest.mark.parametrize("bound", [100, 1000, 50_000])
def test_many_repeated_numbers(n_distinct: int, bound: int) -> None:
    random = np.random.default_rng(0)
    for pool in (random.normal(size=n_distinct), random.integers(-(2**62), 2**62, n_distinct)):
        values = pool[random.integers(0, n_distinct, 40_000)]
        distinct, counts = np.unique(values, return_counts=True)
        assert ValueCounts.of_repeated(values, bound) == ValueCounts.of_numbers(distinct, counts, bound)


def test_zeros_are_one_value() -> None:
    assert ValueCounts.of_repeated(np.array([0.0, -0.0, 0.0])).counts == {0.0: 3}


def test_distinct_values_are_estimated_without_much_error() -> None:
    for counted in (
        ValueCounts.of_texts([f"row-{i}" for i in range(30_000)], [1] * 30_000, bound=1000),
        ValueCounts.of_numbers(np.arange(30_000), np.ones(30_000, np.int64), bound=1000),
        ValueCounts.of_numbers(np.arange(30_000) / 7, np.ones(30_000, np.int64), bound=1000),
    ):
        assert not counted.is_exact
        assert 500 < len(counted.counts) <= 1000
        assert counted.n_distinct == pytest.approx(30_000, rel=0.12)


def test_the_sample_is_the_same_on_every_machine() -> None:
    texts = ValueCounts.of_texts([f"v{i}" for i in range(40)], [1] * 40, bound=4)
    assert (texts.level, sorted(texts.counts)) == (4, ["v0", "v12", "v5"])


def test_ties_go_by_value() -> None:
    found = ValueCounts.of_texts(["c", "b", "a"], [1, 2, 1])
    assert found.top(2) == (("b", 2), ("a", 1))
    assert found.top(9) == (("b", 2), ("a", 1), ("c", 1))


def test_large_integers_stay_exact() -> None:
    values = np.array([2**64 - 1, 2**53 + 1], np.uint64)
    found = ValueCounts.of_numbers(values, np.array([1, 1]))
    assert set(found.counts) == {2**64 - 1, 2**53 + 1}


def test_bounds_must_agree() -> None:
    with pytest.raises(SchemaError, match="one bound"):
        ValueCounts(1).merge(ValueCounts(2))


@given(st.data())
def test_json_round_trip(data: st.DataObject) -> None:
    found = counts_of(data.draw(st.lists(data.draw(COLUMNS), max_size=20)), bound=5)
    assert ValueCounts.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_other_json_is_refused() -> None:
    good = ValueCounts.of_texts(["a"], [1]).to_json()
    for bad in (None, {}, {**good, "counts": "1 2"}, {**good, "counts": "x"}, {**good, "values": [None]}):
        with pytest.raises(SchemaError, match=r"Counts must|one count"):
            ValueCounts.from_json(bad)
