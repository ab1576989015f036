from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.exact import ExactMoments
from raypipe.stats.grouped import Tally, tallies

PAIRS = st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 3)), max_size=50)


def of(pairs: list[tuple[float, int]]) -> list[Tally]:
    values = np.array([value for value, _ in pairs], np.float64)
    return tallies(values, np.array([group for _, group in pairs], np.int64), 4)


@given(PAIRS, st.integers(0, 50))
def test_any_split_and_any_order_give_the_same(pairs: list[tuple[float, int]], cut: int) -> None:
    whole = of(pairs)
    assert [a + b for a, b in zip(of(pairs[:cut]), of(pairs[cut:]), strict=True)] == whole == of(pairs[::-1])
    assert [a - b for a, b in zip(whole, of(pairs[:cut]), strict=True)] == of(pairs[cut:])


@given(PAIRS)
def test_sums_are_exact(pairs: list[tuple[float, int]]) -> None:
    for group, tally in enumerate(of(pairs)):
        own = [value for value, other in pairs if other == group]
        assert tally.n == len(own)
        assert tally.total == ExactMoments.of(np.array(own, np.float64)).total
        if own:
            assert tally.mean == Tally(len(own), tally.total).mean
            exact = sum(map(Fraction, own), Fraction()) / len(own)
            assert abs(Fraction(tally.mean) - exact) <= abs(exact) / 2**52


def test_an_empty_group_has_no_mean_to_speak_of() -> None:
    assert of([]) == [Tally()] * 4
    assert Tally().mean == 0.0
