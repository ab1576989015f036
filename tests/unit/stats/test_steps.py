"""The closest increasing step function."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from raypipe.core.errors import SchemaError
from raypipe.stats.steps import Steps

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.floats(-5, 5)), min_size=1, max_size=40)


@given(PAIRS)
def test_it_is_isotonic_regression(pairs: list[tuple[int, float]]) -> None:
    x, y = np.array(pairs, float).T
    found = Steps.increasing(x, y)(np.unique(x))
    weights = np.array([(x == one).sum() for one in np.unique(x)], float)
    means = np.array([y[x == one].mean() for one in np.unique(x)])
    assert found == pytest.approx(isotonic_regression(means, sample_weight=weights), abs=1e-9)


@given(PAIRS)
def test_it_rises_keeps_the_mean_and_is_read_as_written(pairs: list[tuple[int, float]]) -> None:
    x, y = np.array(pairs, float).T
    steps = Steps.increasing(x, y)
    assert list(steps.values) == sorted(steps.values)
    assert steps(x).mean() == pytest.approx(y.mean(), abs=1e-9)
    assert Steps.from_json(json.loads(json.dumps(steps.to_json()))) == steps


@pytest.mark.parametrize("wrong", [None, {"starts": [], "values": []}, {"starts": ["1"], "values": [1.0]}])
def test_what_is_no_step_function_is_refused(wrong: object) -> None:
    with pytest.raises(SchemaError):
        Steps.from_json(wrong)  # type: ignore[arg-type]
