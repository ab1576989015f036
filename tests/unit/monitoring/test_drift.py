from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.config import DriftSettings, MonitoringSettings
from raypipe.monitoring.drift import MIN_SHARE, Counts, counts, counts_by_window, drift, ks, psi
from raypipe.monitoring.drift_evidence import Budget
from raypipe.monitoring.life import Life
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import FeatureDrift

SETTINGS = MonitoringSettings()
BIN_COUNTS = st.lists(st.integers(0, 1_000), min_size=3, max_size=3)


def reference_of(table: pa.Table) -> Reference:
    return Reference.of(Profile.of_table(table), schema_columns(table.schema))


def drift_of(
    training: object, live: object, type: pa.DataType | None = None, settings: MonitoringSettings = SETTINGS
) -> FeatureDrift:
    reference = reference_of(pa.table({"x": pa.array(training, type)}))
    table = pa.table({"x": pa.array(live, type)})
    life = Life().after(reference, table, settings.drift.step_rows)
    budget = Budget(settings.drift.alpha, tolerance=settings.drift.tolerance)
    drifted = {one.column for one in life.evidence(reference, budget) if one.drifted}
    [found] = drift(reference, counts(reference, table), drifted)
    return found


def normal(n: int, seed: int, centre: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, size=n)


def test_psi_by_hand() -> None:
    expected = 0.4 * math.log(0.9 / 0.5) + -0.4 * math.log(0.1 / 0.5)
    assert psi((900, 100), (500, 500)) == pytest.approx(expected)


def test_an_empty_bin_counts_as_a_ten_thousandth_or_half_a_row() -> None:
    many = 1_000_000
    expected = 0.1 * math.log(1 / 0.9) + (MIN_SHARE - 0.1) * math.log(MIN_SHARE / 0.1)
    assert psi((many, 0), (900_000, 100_000)) == pytest.approx(expected)
    few = 0.1 * math.log(1 / 0.9) + (0.005 - 0.1) * math.log(0.005 / 0.1)
    assert psi((100, 0), (90, 10)) == pytest.approx(few)


@given(BIN_COUNTS, BIN_COUNTS)
def test_psi_is_symmetric_and_not_negative(a: list[int], b: list[int]) -> None:
    found = psi(a, b)
    if not sum(a) or not sum(b):
        assert found is None
    else:
        assert found is not None
        assert found >= 0
        assert found == pytest.approx(psi(b, a))
        assert math.isfinite(found)


@given(BIN_COUNTS.filter(sum))
def test_equal_shares_have_not_moved(a: list[int]) -> None:
    assert psi(a, a) == 0
    assert ks(a, a) == 0


def test_ks_is_that_of_the_single_values_where_bins_hold_one_value_each() -> None:
    assert ks((1, 1, 2), (2, 1, 1)) == 0.25
    assert ks((0, 5), (5, 0)) == 1.0
    assert ks((0, 0), (5, 0)) is None


def test_rows_as_in_training_do_not_drift() -> None:
    for seed in range(1, 21):
        found = drift_of(normal(20_000, 0), normal(200, seed))
        assert found.psi is not None
        assert found.psi < 0.25
        assert not found.drifted


def test_a_shift_of_one_deviation_drifts() -> None:
    found = drift_of(normal(20_000, 0), normal(2_000, 1, centre=1.0))
    assert found.drifted
    assert found.psi == pytest.approx(1.0, abs=0.3)  # that of the densities is 1
    assert found.ks == pytest.approx(0.3829, abs=0.03)  # 2 * Phi(1/2) - 1
    assert found.n_rows == 2_000


def test_what_is_harmless_is_the_settings() -> None:
    live = normal(2_000, 1, centre=0.4)
    assert drift_of(normal(20_000, 0), live).drifted
    tolerant = MonitoringSettings(drift=DriftSettings(tolerance=0.25))
    assert not drift_of(normal(20_000, 0), live, settings=tolerant).drifted


@pytest.mark.parametrize("type", [pa.float64(), pa.string(), pa.bool_(), pa.timestamp("us", "UTC")])
def test_an_empty_window_says_nothing(type: pa.DataType) -> None:
    training = {
        pa.float64(): [1.0, 2.0],
        pa.string(): ["a", "b"],
        pa.bool_(): [True, False],
        pa.timestamp("us", "UTC"): [datetime(2026, 1, 1, tzinfo=UTC)],
    }[type]
    assert drift_of(training, [], type) == FeatureDrift("x", None, None, 0, 0.0, 0.0, False)


def test_a_constant_that_changes_drifts_either_way() -> None:
    same, up, down = (drift_of([5.0] * 1_000, [value] * 500) for value in (5.0, 6.0, 4.0))
    assert (same.psi, same.ks, same.drifted) == (0.0, 0.0, False)
    assert (up.ks, up.drifted, up.unseen_ratio) == (1.0, True, 1.0)
    assert (down.ks, down.drifted, down.unseen_ratio) == (1.0, True, 1.0)


def test_nan_null_and_infinity_are_missing() -> None:
    live = [None, float("nan"), float("inf"), -float("inf")] * 50 + [1.0, 2.0] * 100
    found = drift_of([1.0, 2.0] * 500, live)
    assert (found.missing_ratio, found.drifted) == (0.5, True)
    assert found.ks == 0.0, "the values that there are have not moved"


def test_a_column_that_was_always_missing_and_comes() -> None:
    found = drift_of([None] * 500, [1.0] * 500, pa.float64())
    assert found.drifted
    assert found.ks is None


def test_values_outside_the_range_are_unseen() -> None:
    training = [float(i) for i in range(1_000)]
    found = drift_of(training, [*training[:950], *[-1.0] * 25, *[1_000.0] * 25])
    assert found.unseen_ratio == 0.05


def test_a_new_category_is_unseen_and_an_old_rare_one_is_not() -> None:
    training = [f"c{i:02}" for i in range(20) for _ in range(50)]
    old = drift_of(training, training)
    assert (old.psi, old.ks, old.unseen_ratio) == (0.0, None, 0.0)
    new = drift_of(training, [*training[:900], *["new"] * 100])
    assert new.unseen_ratio == 0.1
    assert new.drifted


def test_among_too_many_categories_a_new_one_is_one_of_the_others() -> None:
    training = [f"c{i}" for i in range(2_000)]
    found = drift_of(training, ["new"] * 1_985 + training[:15])
    assert (found.unseen_ratio, found.drifted) == (0.0, False)


def test_times_that_go_on_do_not_drift() -> None:
    days = [datetime(2026, 1, 1 + i % 28, tzinfo=UTC) for i in range(280)]
    later = [day.replace(year=2027) for day in days]
    assert drift_of(days, later, pa.timestamp("us", "UTC")).psi == 0.0
    assert drift_of(days, [None] * 280, pa.timestamp("us", "UTC")).drifted


def test_a_column_that_is_not_sent_is_missing() -> None:
    reference = reference_of(pa.table({"x": [1.0, 2.0], "c": ["a", "b"]}))
    assert counts(reference, pa.table({"z": [0, 0, 0]})).columns == ((0, 0, 0, 0, 3), (0, 0, 0, 0, 3))


def test_an_integer_beyond_float64_finds_its_bin() -> None:
    values = [2**53, 2**53 + 1, 2**63 - 1]
    reference = reference_of(pa.table({"x": values}))
    assert counts(reference, pa.table({"x": values})).columns[0] == reference.columns[0].counts


@given(st.lists(st.none() | st.floats(), max_size=30), st.integers(0, 30))
def test_counts_of_parts_add_up(values: list[float | None], cut: int) -> None:
    reference = reference_of(pa.table({"x": [0.0, 1.0, 2.0, 3.0]}))
    whole = pa.table({"x": pa.array(values, pa.float64())})
    parts = [counts(reference, part) for part in (whole.slice(0, cut), whole.slice(min(cut, len(values))))]
    assert reduce(add, parts) == counts(reference, whole)


def test_counts_by_two_references_do_not_add() -> None:
    with pytest.raises(SchemaError, match="by one reference"):
        _ = Counts(((1, 2),)) + Counts(((1, 2, 3),))


@given(st.lists(st.integers(0, 3), max_size=30), st.lists(st.none() | st.floats(), min_size=30, max_size=30))
def test_windows_are_counted_as_one_by_one(steps: list[int], values: list[float | None]) -> None:
    reference = reference_of(pa.table({"x": [0.0, 1.0, 2.0, 3.0], "c": list("abca")}))
    window = np.cumsum([0, *steps])[: len(steps)] if steps else np.zeros(0, np.int64)
    table = pa.table(
        {
            "x": pa.array(values[: len(steps)], pa.float64()),
            "c": pa.array([None if v is None else f"{v}"[:1] for v in values[: len(steps)]], pa.string()),
        }
    )
    found = counts_by_window(reference, table, window)
    n_windows = int(window.max()) + 1 if steps else 0
    assert [len(of) for of in found] == [n_windows, n_windows]
    for nth in range(n_windows):
        counted = Counts(tuple(tuple(of[nth].tolist()) for of in found))
        assert counted == counts(reference, table.filter(pa.array(window == nth)))
