from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.stats.dyadic import Dyadic

DYADICS = st.builds(Dyadic.of, st.integers(-(2**80), 2**80), st.integers(-1200, 1200))


def exact(number: Dyadic) -> Fraction:
    return Fraction(number.mantissa) * Fraction(2) ** number.exponent


@given(DYADICS, DYADICS)
def test_arithmetic_is_that_of_fractions(a: Dyadic, b: Dyadic) -> None:
    assert exact(a + b) == exact(a) + exact(b)
    assert exact(a - b) == exact(a) - exact(b)
    assert exact(a * b) == exact(a) * exact(b)


@given(DYADICS, st.integers(0, 200))
def test_a_number_has_one_spelling(a: Dyadic, zeros: int) -> None:
    assert Dyadic.of(a.mantissa << zeros, a.exponent - zeros) == a


@given(st.integers(-(2**80), 2**80), st.integers(-200, 200), st.integers(1, 2**40))
def test_quotients_are_rounded_once(mantissa: int, exponent: int, divisor: int) -> None:
    number = Dyadic.of(mantissa, exponent)
    assert number.over(divisor) == float(exact(number) / divisor)


def test_too_large_a_quotient_is_infinite() -> None:
    assert (Dyadic(1, 2000).over(3), Dyadic(-1, 2000).over(3)) == (math.inf, -math.inf)


@given(DYADICS)
def test_json_round_trip(number: Dyadic) -> None:
    assert Dyadic.from_json(json.loads(json.dumps(number.to_json()))) == number


@pytest.mark.parametrize("value", [None, {}, [1, 2], ["0x1", "2"]])
def test_other_json_is_refused(value: None) -> None:
    with pytest.raises(SchemaError, match="exact sum must"):
        Dyadic.from_json(value)
