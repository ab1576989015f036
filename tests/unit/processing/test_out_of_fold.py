"""No feature of a training row depends on its own label, on later ones, or on rows not trained on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.errors import ConfigError, DataError
from raypipe.data.config import DataSettings, SplitSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.split import Split, split_rows
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import TrainingFit, joint_plan
from raypipe.processing.joint import Joint
from raypipe.processing.out_of_fold import N_STRETCHES, Folds
from raypipe.processing.target import Target, TargetSums
from raypipe.processing.training_part import fit_training, transform_training

SOURCE = {"name": "s", "format": "csv", "path": "-"}
DATA = DataSettings.model_validate({"sources": [SOURCE], "label": "y", "time": "t"})
PROCESSING = ProcessingSettings.model_validate(
    {
        "numeric": {"scale": "none"},
        "columns": [{"match": ["a", "b"], "encode": "target", "smoothing": 2}],
        "crosses": [{"columns": ["a", "b"], "encode": "target"}],
    }
)
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = st.lists(
    st.tuples(st.sampled_from(["x", "y", None]), st.integers(0, 2), st.integers(0, 30), st.integers(0, 1)),
    min_size=2,
    max_size=60,
)


def table(rows: list[tuple[str | None, int, int, int]]) -> pa.Table:
    rows = sorted(rows, key=lambda row: row[2])
    return pa.table(
        {
            "a": pa.array([a for a, _, _, _ in rows], pa.string()),
            "b": pa.array([b for _, b, _, _ in rows], pa.int64()),
            "t": pa.array([START + timedelta(hours=t) for _, _, t, _ in rows], pa.timestamp("us", "UTC")),
            "y": pa.array([y for _, _, _, y in rows], pa.int64()),
        }
    )


def fit(rows: pa.Table, labels: np.ndarray, classes: tuple[str, ...] = (), *, in_order: bool) -> TrainingFit:
    return fit_training(
        Profile.of_table(rows),
        rows,
        lambda: Target(labels, classes),
        schema_columns(rows.schema),
        DATA,
        PROCESSING,
        in_order=in_order,
    )


def features(
    rows: pa.Table, labels: np.ndarray, classes: tuple[str, ...] = (), *, in_order: bool
) -> np.ndarray:
    return transform_training(fit(rows, labels, classes, in_order=in_order), rows)


@settings(max_examples=50)
@given(ROWS, st.booleans(), st.integers(0, 59), st.floats(-1e3, 1e3))
def test_a_row_does_not_see_its_own_label(
    rows: list[tuple[str | None, int, int, int]], in_order: bool, place: int, other: float
) -> None:
    given_rows, place = table(rows), place % len(rows)
    labels = np.array([float(row[3]) for row in rows])
    changed = labels.copy()
    changed[place] = other
    before = features(given_rows, labels, in_order=in_order)
    after = features(given_rows, changed, in_order=in_order)
    assert before[place].tobytes() == after[place].tobytes()


@settings(max_examples=50)
@given(ROWS, st.integers(0, 59), st.integers(0, 2**32 - 1))
def test_in_order_a_row_sees_no_later_label(
    rows: list[tuple[str | None, int, int, int]], place: int, seed: int
) -> None:
    given_rows, place = table(rows), place % len(rows)
    if len(set(given_rows["t"].to_pylist())) == 1:
        return  # Rows of one moment have no order.
    labels = np.array([float(row[3]) for row in rows])
    times = np.array(given_rows["t"].to_pylist())
    changed = np.where(times >= times[place], np.random.default_rng(seed).normal(size=len(rows)), labels)
    before = features(given_rows, labels, in_order=True)
    after = features(given_rows, changed, in_order=True)
    assert before[place].tobytes() == after[place].tobytes()


@settings(max_examples=30)
@given(ROWS, st.booleans(), st.integers(0, 2**32 - 1))
def test_rows_that_are_not_trained_on_change_nothing(
    rows: list[tuple[str | None, int, int, int]], by_time: bool, seed: int
) -> None:
    rows = [(a, b, place, y) for place, (a, b, _, y) in enumerate(rows * 4)]
    before = _split(table(rows), by_time)
    held_out = {*before.validation["t"].to_pylist(), *before.test["t"].to_pylist()}
    random = np.random.default_rng(seed)
    changed = [
        row if moment not in held_out else ("new", int(random.integers(9)), row[2], int(random.integers(2)))
        for row, moment in zip(
            sorted(rows, key=lambda row: row[2]), table(rows)["t"].to_pylist(), strict=True
        )
    ]
    after = _split(table(changed), by_time)
    fits = [
        fit(split.train, split.train["y"].to_numpy().astype(np.float64), in_order=by_time)
        for split in (before, after)
    ]
    assert before.train.equals(after.train) and not before.test.equals(after.test)
    assert fits[0].transform.to_json() == fits[1].transform.to_json()
    made = [transform_training(fitted, before.train) for fitted in fits]
    assert made[0].tobytes() == made[1].tobytes()


def _split(rows: pa.Table, by_time: bool) -> Split:
    return split_rows(rows, SplitSettings(), time="t" if by_time else None, seed=0)


@settings(max_examples=40)
@given(ROWS, st.integers(0, 59), st.booleans())
def test_any_split_into_blocks_gives_the_same(
    rows: list[tuple[str | None, int, int, int]], cut: int, in_order: bool
) -> None:
    whole = table(rows)
    plan = joint_plan(schema_columns(whole.schema), DATA, PROCESSING)
    folds = Folds.in_time(np.arange(len(rows))) if in_order else Folds()
    labels = np.array([row[3] * 0.1 for row in rows])
    first, second = whole.slice(0, cut), whole.slice(cut)
    parts = [
        Joint.of(part, plan, Target(labels[start : start + part.num_rows]), folds, start)
        for part, start in ((first, 0), (second, first.num_rows))
    ]
    together = Joint.of(whole, plan, Target(labels), folds)
    assert parts[0].merge(parts[1]) == together == parts[1].merge(parts[0])
    made = fit(whole, labels, in_order=in_order)
    halves = [transform_training(made, part, start) for part, start in ((first, 0), (second, first.num_rows))]
    assert np.concatenate(halves).tobytes() == transform_training(made, whole).tobytes()


def test_what_the_means_are() -> None:
    rows = table([("x", 0, i, 0) for i in range(4)] + [("y", 0, 4 + i, 0) for i in range(4)])
    labels = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    transform = fit(rows, labels, in_order=True).transform
    mean, deviation = labels.mean(), labels.std()
    wanted = [(0.75 - mean) / deviation * 4 / 6, (0 - mean) / deviation * 4 / 6, 0.0]
    at = transform.feature_names.index("a__target")
    answers = transform.transform_rows([{"a": "x", "b": 0}, {"a": "y", "b": 0}, {"a": "never seen", "b": 0}])
    assert answers[:, at].tolist() == pytest.approx(wanted, rel=1e-6)


def test_the_first_rows_know_nothing_and_later_ones_what_was_before() -> None:
    rows = table([("x", 0, i, 0) for i in range(32)])
    labels = np.array([i % 2 for i in range(32)], np.float64)
    made = features(rows, labels, in_order=True)
    assert not made[:2].any()
    folds = fit(rows, labels, in_order=True).out_of_fold.folds
    assert folds.n == N_STRETCHES
    assert folds.of(0, 32).tolist() == [i // 2 for i in range(32)]
    assert folds.of(7, 3).tolist() == [3, 4, 4]


def test_rows_of_one_moment_are_in_one_stretch() -> None:
    assert Folds.in_time(np.repeat([0, 1, 2], 10)).starts == (0, 10, 20)
    assert Folds.in_time(np.zeros(10, np.int64)).starts is None


def test_folds_by_hash_are_about_as_large() -> None:
    counts = np.bincount(Folds().of(0, 10_000))
    assert counts.min() > 1900 and len(counts) == 5


def test_many_classes_have_a_feature_each() -> None:
    rows = table([("x" if i % 2 else "y", 0, i, 0) for i in range(40)])
    codes = np.arange(40) % 3
    made = fit(rows, codes, ("low", "mid", "high"), in_order=False)
    names = [name for name in made.transform.feature_names if name.startswith("a__")]
    assert names == ["a__target=low", "a__target=mid", "a__target=high"]
    binary = fit(rows, codes % 2, ("no", "yes"), in_order=False)
    assert "a__target" in binary.transform.feature_names
    with pytest.raises(ConfigError, match="at most 32 classes"):
        fit(rows, codes, tuple(map(str, range(33))), in_order=False)


def test_too_many_values_are_refused() -> None:
    n = 50_001
    rows = pa.table({"a": [str(i) for i in range(n)], "t": pa.array([START] * n), "y": [0.0] * n})
    columns, profile = schema_columns(rows.schema), Profile.of_table(rows)
    by_target = ProcessingSettings.model_validate({"columns": [{"match": "a", "encode": "target"}]})
    with pytest.raises(DataError, match="encode target needs at most 50,000 distinct values"):
        fit_training(profile, rows, lambda: Target(np.zeros(n)), columns, DATA, by_target, in_order=False)


def test_sums_of_no_rows() -> None:
    import polars as pl

    sums = TargetSums.of(pl.Series([], dtype=pl.String), Target(np.zeros(0)), np.zeros(0, np.int64), 5)
    assert sums.means(["x", None], 1.0) == [[0.0, 0.0]]
