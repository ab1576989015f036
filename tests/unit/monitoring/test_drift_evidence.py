"""Evidence of drift over a version's life: additive, restarted exactly, few false alarms, sized."""

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
from raypipe.monitoring.drift import Counts, counts
from raypipe.monitoring.drift_evidence import Budget, DriftState, bound, compared, evidence, update
from raypipe.monitoring.reference import Reference
from raypipe.stats.multinomial import divergence

BUDGET = Budget()
WINDOW = st.tuples(st.tuples(*[st.integers(0, 50)] * 3), st.tuples(*[st.integers(0, 50)] * 2)).map(Counts)


def table(n: int, seed: int, shift: float = 0.0, colours: str = "rgb") -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "x": random.normal(shift, size=n),
            "colour": random.choice(list(colours), size=n),
            "calm": random.normal(size=n),
        }
    )


TRAINING = table(20_000, seed=0)
REFERENCE = Reference.of(Profile.of_table(TRAINING), schema_columns(TRAINING.schema))


def watched(windows: list[pa.Table], state: DriftState | None = None) -> DriftState:
    state = state or DriftState()
    for one in windows:
        state = update(state, counts(REFERENCE, one))
    return state


def drifted(state: DriftState, budget: Budget = BUDGET) -> list[str]:
    return [one.drift.column for one in evidence(REFERENCE, state, budget) if one.drift.drifted]


def test_rows_as_in_training_are_not_called_drifted() -> None:
    state = watched([table(500, seed) for seed in range(1, 21)])
    found = evidence(REFERENCE, state, BUDGET)
    assert [one.drift.column for one in found] == ["x", "colour", "calm"]
    assert drifted(state) == []
    assert not any(one.changed for one in found)
    assert all(one.log_life < 0 for one in found)


def test_a_shift_is_called_with_its_size_and_its_start_after_a_long_healthy_time() -> None:
    healthy = watched([table(500, seed) for seed in range(1, 41)])
    state = watched([table(500, seed, shift=0.5) for seed in (101, 102)], healthy)
    x, colour, calm = evidence(REFERENCE, state, BUDGET)
    assert drifted(state) == ["x"]
    assert x.since_window == 40
    assert x.drift.n_rows == 1_000
    assert x.drift.psi == pytest.approx(0.25, abs=0.1)
    assert x.drift.ks == pytest.approx(0.197, abs=0.04)
    assert x.changed
    assert x.log_life > math.log(20) > max(colour.log_life, calm.log_life)


def test_a_category_that_vanishes_and_one_never_seen_are_called() -> None:
    for colours in ("rg", "rgbn"):
        state = watched([table(500, seed, colours=colours) for seed in (1, 2)])
        assert drifted(state) == ["colour"]


def test_a_shift_within_the_tolerance_is_silent_for_ever() -> None:
    state = watched([table(20_000, seed, shift=0.1) for seed in range(1, 6)])
    assert drifted(state) == []
    assert drifted(state, Budget(tolerance=0.0)) == ["x"]


def test_rows_alike_count_less() -> None:
    state = watched([table(500, 1, shift=0.5)])
    alone, alike = (evidence(REFERENCE, state, Budget(n_alike=n))[0].log_life for n in (1.0, 10.0))
    assert alike < alone


@given(st.lists(WINDOW, max_size=12), st.integers(0, 12))
def test_a_restart_in_between_changes_nothing(windows: list[Counts], at: int) -> None:
    state = resumed = DriftState()
    for i, one in enumerate(windows):
        if i == at:
            resumed = DriftState.from_json(json.loads(json.dumps(resumed.to_json())))
        state, resumed = update(state, one), update(resumed, one)
    assert state == resumed


@given(WINDOW, WINDOW)
def test_the_parts_of_a_window_add_up(a: Counts, b: Counts) -> None:
    assert update(DriftState(), a + b) == update(DriftState(), b + a)


def test_a_window_without_rows_is_none() -> None:
    assert update(DriftState(), counts(REFERENCE, TRAINING.slice(0, 0))) == DriftState()
    assert evidence(REFERENCE, DriftState(), BUDGET) == ()
    assert evidence(Reference(()), update(DriftState(), Counts(((1,),))), BUDGET) == ()


def test_what_is_no_state_is_refused() -> None:
    for tests in (None, [[0]], [[0, [[-1]]]], [[0, [[True]]]]):
        with pytest.raises(SchemaError):
            DriftState.from_json({"n_windows": 1, "tests": tests})


def test_the_state_of_a_year_of_windows_stays_small() -> None:
    state = DriftState()
    one = counts(REFERENCE, table(200, 1))
    for _ in range(3_000):
        state = update(state, one)
    assert len(state.tests.parts) <= 14
    assert len(json.dumps(state.to_json())) < 4_096 * len(REFERENCE.columns)


def share_outside(shares: np.ndarray, as_number: bool, n_streams: int) -> float:
    """Return how often the truth lies outside the null hypothesis that a reference of 2,000 rows allows."""
    random = np.random.default_rng(0)
    values = np.arange(len(shares)).astype(float)
    names = values if as_number else np.array([f"c{i:05}" for i in range(len(shares))])
    truth = pa.table({"x": names[random.choice(len(shares), 200_000, p=shares)]})
    n_outside = 0
    for _ in range(n_streams):
        rows = pa.table({"x": names[random.choice(len(shares), 2_000, p=shares)]})
        reference = Reference.of(Profile.of_table(rows), schema_columns(rows.schema))
        [one], [counted] = reference.columns, counts(reference, truth).columns
        there, known = (np.array(compared(one, n), float) for n in (counted, one.counts))
        far = float(divergence(known / known.sum(), there / there.sum()))
        n_outside += far > bound(one, 1, Budget(alpha=0.25, tolerance=0.0))
    return n_outside / n_streams


MANY = {
    "equally many": np.full(900, 1 / 900),
    "ever rarer": 1 / np.arange(1, 901.0) / (1 / np.arange(1, 901.0)).sum(),
    "more than are kept": np.full(3_000, 1 / 3_000),
}


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("as_number", [False, True])
def test_bins_chosen_by_the_reference_itself_are_no_drift(name: str, as_number: bool) -> None:
    """Of many rare categories, those that happened to be frequent get bins, and some were never seen."""
    assert share_outside(MANY[name], as_number, n_streams=5) <= 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("as_number", [False, True])
def test_bins_chosen_by_the_reference_itself_are_seldom_outside(name: str, as_number: bool) -> None:
    assert share_outside(MANY[name], as_number, n_streams=200) <= 0.05


def test_unseen_categories_are_one_with_those_without_a_bin_where_there_are_such() -> None:
    many = pa.table({"c": [f"c{i:02}" for i in range(20) for _ in range(50)]})
    [one] = Reference.of(Profile.of_table(many), schema_columns(many.schema)).columns
    assert compared(one, tuple(range(18))) == (*range(15), 15 + 16, 17)
    assert compared(REFERENCE.columns[1], (1, 2, 3, 4, 5, 6)) == (1, 2, 3, 4, 5, 6)
