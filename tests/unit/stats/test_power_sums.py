from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.dyadic import Dyadic
from raypipe.stats.power_sums import power_sums

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ENDS = st.sampled_from([5e-324, 1e-308, 2.0**-300, 2.0**-299, 1.0, 2.0**300, 1.7e308])
REPEATED = 700
"""More than fit into one exact dot product."""


def exact(number: Dyadic) -> Fraction:
    return Fraction(number.mantissa) * Fraction(2) ** number.exponent


def check(values: npt.NDArray[np.float64], n_times: int = 1) -> None:
    total, squares = power_sums(values)
    once = [Fraction(value) for value in values[::n_times].tolist()]
    assert exact(total) == n_times * sum(once)
    assert exact(squares) == n_times * sum(value * value for value in once)


@given(st.lists(FINITE | ENDS))
def test_sums_are_those_of_fractions(values: list[float]) -> None:
    check(np.array(values, np.float64))


@given(st.lists(st.floats(-1e6, 1e6) | st.integers(-(2**53), 2**53).map(float), min_size=1, max_size=5))
def test_many_values_add_up_without_rounding(values: list[float]) -> None:
    check(np.repeat(np.array(values), REPEATED), REPEATED)


@pytest.mark.parametrize("largest", [2.0**22, 1.0, 1e300, -3.0])
def test_the_largest_parts_fill_a_dot_product(largest: float) -> None:
    """All bits of the parts set: the case in which the sums of a block are largest."""
    check(np.full(40_000, np.nextafter(largest, 0.0)), 40_000)


def test_values_of_all_magnitudes_in_one_block() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=3000) * 10.0 ** random.integers(-300, 300, 3000)
    check(values)
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert power_sums(shuffled) == power_sums(values)
    halves = power_sums(values[:1000]), power_sums(values[1000:])
    assert (halves[0][0] + halves[1][0], halves[0][1] + halves[1][1]) == power_sums(values)


def test_more_blocks_than_one_and_a_short_one() -> None:
    values = np.random.default_rng(1).normal(size=33_333)
    assert exact(power_sums(values)[0]) == sum(map(Fraction, values.tolist()))


def test_the_values_stay_as_they_are() -> None:
    values = np.random.default_rng(2).normal(size=1000)
    values.flags.writeable = False
    power_sums(values)
