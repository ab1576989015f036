"""The design effect of rows that resemble their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.stats.alike import n_alike

SHARES = [0.2, 0.3, 0.5]


@pytest.mark.parametrize("length", [1, 5, 20])
def test_rows_that_come_in_runs_tell_as_much_as_one_each(length: int) -> None:
    windows = length * np.random.default_rng(0).multinomial(2_000 // length, SHARES, size=300)
    assert n_alike(windows) == pytest.approx(length, rel=0.15)


def test_it_is_never_below_one_and_needs_two_windows() -> None:
    assert n_alike([[20, 30, 50]] * 4) == 1
    assert n_alike([[20, 30, 50]]) == 1
    assert n_alike([[0, 0], [5, 0], [7, 0]]) == 1
