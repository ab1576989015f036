from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.processing.points import Points, clip_bounds
from raypipe.stats.histogram import QuantileSketch

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)


def test_few_values_are_the_points() -> None:
    points = Points.of(QuantileSketch.of(np.array([3.0, 1.0, 3.0, 8.0])))
    assert points.values.tolist() == [1.0, 3.0, 8.0]
    assert points.shares.tolist() == [0.25, 0.5, 0.25]
    assert points.fullest == 3.0
    assert (points.mean, points.deviation) == (3.75, pytest.approx(2.586, abs=1e-3))


def test_many_values_are_near_the_points() -> None:
    values = np.random.default_rng(0).lognormal(size=100_000)
    points = Points.of(QuantileSketch.of(values))
    assert len(points.values) <= 4096
    assert points.mean == pytest.approx(values.mean(), rel=0.01)
    assert points.deviation == pytest.approx(values.std(), rel=0.01)


def test_what_shares_a_point_with_zero_is_zero() -> None:
    sketch = QuantileSketch.of(np.array([0.0, 0.0, 2.5e-308, -4.0, -2.0, -1.0, 0.5, 1.0, 2.0, 4.0]), bound=8)
    points = Points.of(sketch)
    assert points.shares[points.values == 0.0].tolist() == [0.3]
    assert clip_bounds(sketch, 0.0, 0.5).high >= 2.5e-308


def test_what_passes_float64_is_infinite() -> None:
    points = Points.of(QuantileSketch.of(np.array([1.7e308, -1.7e308, 1e308])))
    assert np.isfinite(points.mean)
    assert points.deviation == np.inf


@given(VALUES, st.tuples(st.floats(0, 0.5), st.floats(0.5, 1)), st.sampled_from([8, 4096]))
def test_what_is_clipped_is_counted_exactly(values: list[float], by: tuple[float, float], bound: int) -> None:
    x = np.array(values)
    bounds = clip_bounds(QuantileSketch.of(x, bound=bound), *by)
    assert bounds.n_clipped == ((x < bounds.low) | (x > bounds.high)).sum()
    assert bounds.low <= np.quantile(x, by[0], method="inverted_cdf") + 0.0
    assert bounds.high >= np.quantile(x, by[1], method="inverted_cdf")
