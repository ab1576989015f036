"""The evidence of a version's whole life does not depend on how its rows came in."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.drift_evidence import Budget
from raypipe.monitoring.life import MIN_HEALTHY, Life, alike_in_order
from raypipe.monitoring.reference import Reference

STEP = 10


def rows(n: int, seed: int, shift: float = 0.0, run: int = 1) -> pa.Table:
    """Return rows, each of them `run` times in a row."""
    random = np.random.default_rng(seed)
    x, c = random.normal(shift, size=n // run), random.choice(["a", "b"], n // run)
    return pa.table({"x": np.repeat(x, run), "c": np.repeat(c, run)})


TRAINING = rows(5_000, seed=0)
REFERENCE = Reference.of(Profile.of_table(TRAINING), schema_columns(TRAINING.schema))


@given(st.lists(st.integers(0, 35), max_size=6), st.integers(0, 6))
def test_looks_and_restarts_fall_anywhere(looks: list[int], restart: int) -> None:
    live = rows(sum(looks), seed=1)
    life, start = Life(), 0
    for nth, n in enumerate(looks):
        if nth == restart:
            life = Life.from_json(json.loads(json.dumps(life.to_json())))
        life = life.after(REFERENCE, live.slice(start, n), STEP)
        start += n
    assert life == Life().after(REFERENCE, live, STEP)
    assert life.n_rows == live.num_rows
    assert life.drift.tests.n_windows == live.num_rows // STEP


def test_a_shift_is_found_in_a_window_that_is_not_full() -> None:
    life = Life().after(REFERENCE, rows(2_000, seed=1), 500).after(REFERENCE, rows(400, 2, shift=1.0), 500)
    x, c = life.evidence(REFERENCE, Budget())
    assert (x.column, x.drifted, c.drifted) == ("x", True, False)
    assert x.log_evidence > x.log_needed > c.log_evidence
    assert x.n_rows == 400 and x.psi is not None and x.psi > 0.5


def test_rows_that_come_in_runs_count_less_once_the_first_windows_show_it() -> None:
    runs = [rows(500, seed, run=25) for seed in range(1, MIN_HEALTHY + 20)]
    naive = Life()
    for one in runs:
        naive = naive.after(REFERENCE, one, 500)
    alike = naive.alike
    assert alike is not None and alike[0] == pytest.approx(25, rel=0.4)
    x, _ = naive.evidence(REFERENCE, Budget(tolerance=0.0))
    assert not x.drifted and x.n_alike == alike[0]
    assert Life().after(REFERENCE, runs[0], 500).alike is None


def test_how_many_are_alike_is_told_by_rows_of_before_where_they_have_an_order() -> None:
    in_order = alike_in_order(REFERENCE, rows(5_000, seed=1, run=25))
    assert in_order["x"] == pytest.approx(25, rel=0.4)
    assert alike_in_order(REFERENCE, rows(2_000, seed=1)) == {}, "four windows tell too little"
    moved = Life().after(REFERENCE, rows(5_000, seed=2, shift=1.5), 500)
    x, c = moved.evidence(REFERENCE, Budget(), {"x": 25.0})
    assert (x.n_alike, x.drifted) == (25.0, True) and c.n_alike < 3
    assert x.log_evidence < moved.evidence(REFERENCE, Budget())[0].log_evidence


def test_nothing_answered_yet() -> None:
    assert Life().evidence(REFERENCE, Budget()) == ()
    assert Life().after(Reference(()), rows(10, 1), STEP) == Life()
    assert (Life().n_rows, Life().after(REFERENCE, rows(0, 1), STEP)) == (0, Life())


def test_what_one_column_needs_is_what_e_bh_asks_of_it_alone() -> None:
    x, _ = Life().after(REFERENCE, rows(20, 1), STEP).evidence(REFERENCE, Budget())
    assert x.log_needed == pytest.approx(math.log(2 / 0.04))


def test_what_is_no_life_is_refused() -> None:
    whole = Life().after(REFERENCE, rows(60, 1), STEP).to_json()
    assert isinstance(whole, dict)
    for broken in ({}, {**whole, "scatter": [["one", [], []]]}, {**whole, "filling": 3}):
        with pytest.raises(SchemaError):
            Life.from_json(broken)
