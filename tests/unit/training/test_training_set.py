"""A training set's newest rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raypipe.testing.training import training_set

DATA = training_set(2, n_rows=80)


@given(n_rows=st.integers(1, 60))
def test_the_newest_rows_are_the_last(n_rows: int) -> None:
    recent = DATA.recent(n_rows)
    kept = min(n_rows, len(DATA.y_train))
    assert len(recent.x_train) == len(recent.y_train) == kept
    assert np.array_equal(recent.x_train, DATA.x_train[len(DATA.x_train) - kept :])
    assert np.array_equal(recent.y_train, DATA.y_train[len(DATA.y_train) - kept :])
    assert recent.x_validation is DATA.x_validation and recent.task is DATA.task
