"""How long labels take, when many are still to come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.stats.delays import N_POINTS, DelayCurve

ROWS = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=40)


def curve_of(rows: list[tuple[float, float]]) -> DelayCurve:
    """Each row's delay is seen only up to its age."""
    delays, ages = np.array(rows, float).reshape(-1, 2).T
    return DelayCurve.of(np.where(delays <= ages, delays, np.nan), ages)


@given(ROWS)
def test_a_curve_rises_from_above_0_to_1_at_most(rows: list[tuple[float, float]]) -> None:
    curve = curve_of(rows)
    assert list(curve.delays_s) == sorted(set(curve.delays_s))
    assert list(curve.arrived) == sorted(curve.arrived)
    assert all(0 < one <= 1 + 1e-12 for one in curve.arrived)
    assert curve.arrived_by(-1.0) == 0
    assert curve.arrived_by(1e9) == curve.ever


@given(ROWS.filter(len))
def test_where_all_have_come_it_is_the_share_that_came(rows: list[tuple[float, float]]) -> None:
    delays = np.array([delay for delay, _ in rows])
    curve = DelayCurve.of(delays, np.full(len(rows), 1_000.0))
    for delay in delays:
        assert curve.arrived_by(float(delay)) == pytest.approx((delays <= delay).mean())
    assert curve.age_for(1.0) == delays.max()


def test_waiting_rows_are_not_taken_for_quick_ones() -> None:
    """Delays of a mean of ten days, a tenth of the labels never, looked at while most rows are young."""
    random = np.random.default_rng(0)
    delays = np.where(random.random(50_000) < 0.1, np.inf, random.exponential(10.0, 50_000))
    ages = random.uniform(0, 60, 50_000)
    seen = np.where(delays <= ages, delays, np.nan)
    curve = DelayCurve.of(seen, ages)
    assert curve.ever == pytest.approx(0.9, abs=0.02)
    assert curve.age_for(0.5) == pytest.approx(6.93, rel=0.05)
    assert np.nanmedian(seen) < 6.5, "the median of what has come is too short"
    assert len(curve.delays_s) <= N_POINTS + 1


def test_without_labels_nothing_is_known() -> None:
    curve = DelayCurve.of(np.full(3, np.nan), np.ones(3))
    assert (curve.ever, curve.age_for(0.5), curve.arrived_by(1.0)) == (0.0, None, 0.0)
