"""What a chart draws adds up to what the profile counted."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.data.explore.bars import MAX_SINGLE, Bars, bars_of
from raypipe.data.explore.parts import TrainedColumn
from raypipe.data.profile import Profile

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def bars(values: list[float] | list[int], trained: TrainedColumn | None = None) -> Bars:
    (profile,) = Profile.of_table(pa.table({"x": values})).columns
    found = bars_of(profile, trained)
    assert found is not None
    return found


@given(st.lists(FLOATS, min_size=1) | st.lists(st.integers(-(2**53), 2**53), min_size=1))
@example([0.0, -0.0])
@example([-1.7e308, 1.7e308] * 20)
@example([5e-324 * n for n in range(40)])
def test_every_value_is_in_a_bar_or_beyond(values: list[float]) -> None:
    found = bars(values)
    assert sum(found.counts) + found.n_below + found.n_above == pytest.approx(len(values))
    assert min(found.counts) >= 0
    assert len(found.edges) == len(found.counts) + 1
    assert all(a < b for a, b in zip(found.edges, found.edges[1:], strict=False))


def test_few_distinct_values_have_a_bar_each() -> None:
    found = bars([3, 1, 1, 7] * 5)
    assert (found.values, found.counts) == ((1.0, 3.0, 7.0), (10.0, 5.0, 5.0))
    assert bars(list(range(MAX_SINGLE + 1))).values == ()


def test_whole_numbers_are_not_cut() -> None:
    found = bars(list(range(100)))
    assert set(found.counts) <= {3.0, 1.0}
    assert (found.low, found.high) == (0.0, 99.0)


def test_values_far_from_all_others_are_counted_and_not_drawn() -> None:
    found = bars([*np.linspace(0, 1, 1000).tolist(), 1e9, -1e9])
    assert (found.n_below, found.n_above) == (1, 1)
    assert found.high < 3


def test_without_numbers_there_is_nothing_to_draw() -> None:
    table = pa.table({"t": ["a"], "n": pa.array([None], pa.float64()), "i": [float("inf")]})
    assert [bars_of(one) for one in Profile.of_table(table).columns] == [None] * 3


def test_training_rows_are_drawn_to_the_scale_of_all() -> None:
    """The older half of the rows has the smaller values."""
    trained = TrainedColumn(500, 0, edges=(249.0, 499.0), counts=(250, 250))
    found = bars(list(range(1000)), trained)
    assert sum(found.trained) == pytest.approx(1000)
    half = len(found.trained) // 2
    assert sum(found.trained[:half]) == pytest.approx(1000)
