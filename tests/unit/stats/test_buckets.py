from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.buckets import bucketed, needed_shift

KEYS = (
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(-5, 5)
    | st.integers(0, 2**20)
    | st.sampled_from([-(2**63), 2**63 - 1])
)


def plain(keys: list[int], bound: int) -> tuple[int, dict[int, int]]:
    shift = next(s for s in range(65) if len({key >> s for key in keys}) <= bound)
    return shift, dict(sorted(Counter(key >> shift for key in keys).items()))


@given(st.lists(KEYS, min_size=1, max_size=60), st.integers(2, 9))
def test_buckets_are_the_finest_within_the_bound(keys: list[int], bound: int) -> None:
    shift, buckets, counts = bucketed(np.array(keys, np.int64), bound)
    assert (shift, dict(zip(buckets.tolist(), counts.tolist(), strict=True))) == plain(keys, bound)
    assert buckets.tolist() == sorted(buckets.tolist())


@pytest.mark.parametrize("bound", [50, 4096, 100_000])
@pytest.mark.parametrize("spread", [1, 40, 2**30, 2**62])
def test_many_keys(spread: int, bound: int) -> None:
    random = np.random.default_rng(0)
    keys = random.integers(-spread, spread, 20_000)
    shift, buckets, counts = bucketed(keys, bound)
    want = np.unique(keys >> needed_shift(np.sort(keys), bound), return_counts=True)
    assert shift == needed_shift(np.sort(keys), bound)
    assert np.array_equal(buckets, want[0]) and np.array_equal(counts, want[1])


def test_few_keys_far_apart() -> None:
    random = np.random.default_rng(0)
    distinct = random.integers(-(2**62), 2**62, 30)
    keys = distinct[random.integers(0, 30, 50_000)]
    shift, buckets, counts = bucketed(keys, 64)
    assert shift == 0
    assert dict(zip(buckets.tolist(), counts.tolist(), strict=True)) == dict(Counter(keys.tolist()))
