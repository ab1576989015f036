"""The same bits on every processor, and right ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.processing import elementary
from raypipe.processing.elementary import Floats

RANDOM = np.random.default_rng(0)
SIZES = np.concatenate(
    [10.0 ** RANDOM.uniform(-320, 308, 5000), RANDOM.uniform(0, 10, 5000), [0.0, 5e-324, 1.7e308]]
)
SIGNED = np.concatenate([RANDOM.uniform(-708, 708, 5000), RANDOM.uniform(-1, 1, 5000), [0.0, 1e-300, 709.0]])


def in_last_places(made: Floats, right: Floats) -> float:
    return float(np.max(np.abs(made - right) / np.spacing(np.abs(right))))


@pytest.mark.parametrize(
    ("ours", "theirs", "x"),
    [
        (elementary.log1p, np.log1p, SIZES),
        (elementary.log, np.log, SIZES[SIZES > 0]),
        (elementary.expm1, np.expm1, SIGNED),
        (elementary.exp, np.exp, SIGNED),
    ],
)
def test_within_two_units_of_the_last_place(
    ours: Callable[[Floats], Floats], theirs: Callable[[Floats], Floats], x: Floats
) -> None:
    assert in_last_places(ours(x), theirs(x)) <= 2


def test_beyond_float64_they_stay_finite() -> None:
    far = np.array([-1e308, -710.0, 710.0, 1e308])
    assert np.isfinite(elementary.exp(far)).all()
    assert elementary.expm1(far)[:2].tolist() == [-1.0, -1.0]


def test_the_transforms_are_what_they_are_called() -> None:
    x = np.array([-8.0, -0.5, 0.0, 0.5, 8.0])
    assert np.allclose(elementary.signed_power(x, 1 / 3), np.cbrt(x))
    assert np.allclose(elementary.signed_log(x), np.sign(x) * np.log1p(np.abs(x)))
    assert np.allclose(elementary.yeo_johnson(x, 1.0), x)


@pytest.mark.parametrize("exponent", [-2.0, -0.01, 0.0, 0.5, 2.0, 3.0])
def test_yeo_johnson_is_scipys(exponent: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    x = RANDOM.normal(size=1000) * 10
    assert np.allclose(elementary.yeo_johnson(x, exponent), stats.yeojohnson(x, exponent), rtol=1e-13)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.sampled_from([0.3, 2.0, -1.0]),
)
def test_a_value_is_the_same_in_any_company(values: list[float], exponent: float) -> None:
    x = np.array(values)
    with np.errstate(over="ignore"):
        for function in (elementary.signed_log, lambda x: elementary.yeo_johnson(x, exponent)):
            together = function(x)
            assert (
                together.tobytes()
                == np.concatenate([function(x[i : i + 1]) for i in range(len(x))]).tobytes()
            )
            assert together.tobytes() == function(np.repeat(x[:, None], 3, axis=1))[:, 1].tobytes()


def test_bits_are_pinned() -> None:
    # Whoever computes otherwise, by another processor or library, shall fail here and not in a model.
    x = np.arange(-2000, 2000) / 64 + 1 / 1024
    made = [elementary.signed_log(x), elementary.yeo_johnson(x, 0.37), elementary.signed_power(x, 0.63)]
    digest = hashlib.sha256(b"".join(one.astype("<f8").tobytes() for one in made)).hexdigest()
    assert digest == "6f4fc1253a486aab6998fdb07238002b16af2e398ee71e9201c1e010afd3575b"
