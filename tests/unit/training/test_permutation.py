from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.data.schema import Column
from raypipe.processing.report import FeatureChoice
from raypipe.processing.steps import FittedCategory, FittedNumber
from raypipe.processing.transform import FittedTransform
from raypipe.testing.serving import tiny_transform
from raypipe.training.models import Float32Matrix, Float64Array
from raypipe.training.permutation import Measurement, Sample, Shuffles, drawn_rows, steps_of


class FirstFeature:
    """Believes the first feature: its value is the probability of the second class."""

    format = "none"

    def predict(self, features: Float32Matrix) -> Float64Array:
        p = np.clip(features[:, 0].astype(np.float64), 0, 1)
        return np.stack([1 - p, p], axis=1)


class SumOfFeatures:
    format = "none"

    def predict(self, features: Float32Matrix) -> Float64Array:
        return features.astype(np.float64).sum(axis=1)


def number(name: str) -> FittedNumber:
    return FittedNumber(Column(name, "number", False), 0.0, -10.0, 10.0, 0.0, 1.0, False)


def measurement(
    metric: str, *, n_rows: int = 2_000, repeats: int = 5, seed: int = 0, by_time: bool = False
) -> Measurement:
    """Return rows whose target is `told`, while `untold` says nothing."""
    random = np.random.default_rng(7)
    told = (random.random(n_rows) < 0.5).astype(np.float64)
    rows = pa.table({"told": told, "untold": random.normal(size=n_rows)})
    transform = FittedTransform((number("told"), number("untold")), ())
    target = told.astype(np.int64) if metric in ("auc", "accuracy", "log_loss") else told
    sample = Sample(rows, transform.transform_table(rows), target, by_time)
    return Measurement(sample, transform, metric, Shuffles(repeats, seed))


def tiny_rows(n_rows: int) -> pa.Table:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "amount": [None if i % 5 == 0 else float(i) for i in range(n_rows)],
            "size": list(range(n_rows)),
            "colour": [("red", "blue", "green")[i % 3] for i in range(n_rows)],
            "member": [i % 2 == 0 for i in range(n_rows)],
            "seen": pa.array(
                [None if i % 7 == 0 else start + timedelta(hours=i) for i in range(n_rows)],
                pa.timestamp("us", "UTC"),
            ),
        }
    )


@given(st.sampled_from(["amount", "size", "colour", "member", "seen"]), st.integers(0, 2**32 - 1))
def test_shuffled_features_are_those_of_shuffled_rows(column: str, seed: int) -> None:
    """Also of columns with several features, and with missing values."""
    rows, transform, shuffles = tiny_rows(40), tiny_transform(), Shuffles(2, seed)
    sample = Sample(rows, transform.transform_table(rows), np.zeros(40, np.int64), False)
    place = rows.column_names.index(column)
    made = list(Measurement(sample, transform, "auc", shuffles)._shuffled(column))
    assert len(made) == 2
    for repeat, features in enumerate(made):
        order = shuffles.order(40, place, repeat)
        expected = transform.transform_table(rows.set_column(place, column, rows[column].take(order)))
        assert features.tobytes() == expected.tobytes()


def test_a_columns_features_are_found_by_their_steps() -> None:
    transform = tiny_transform()
    found = {column.name: steps_of(transform, column.name)[1] for column in transform.inputs}
    names = transform.feature_names
    assert [names[place] for place in found["amount"]] == ["amount", "amount__missing"]
    assert [names[place] for place in found["colour"]] == ["colour=blue", "colour=red", "colour=<rare>"]
    assert sorted(place for places in found.values() for place in places) == list(range(len(names)))


def test_two_steps_of_one_column_are_shuffled_together() -> None:
    category = FittedCategory(Column("told", "integer", False), ("0", "1"), False, False)
    transform = FittedTransform((number("told"), number("untold"), category), (FeatureChoice("x", 0, ""),))
    steps, places = steps_of(transform, "told")
    assert (steps, places) == ((number("told"), category), [0, 2, 3])


@pytest.mark.parametrize(
    ("metric", "loss"), [("accuracy", 0.5), ("auc", 0.5), ("mae", 0.5), ("rmse", 0.5**0.5), ("r2", 2.0)]
)
@pytest.mark.parametrize("by_time", [False, True])
def test_losing_a_perfect_column_costs_what_chance_says(metric: str, loss: float, by_time: bool) -> None:
    """A fair coin shuffled among the rows agrees with itself half the time."""
    model = FirstFeature() if metric in ("accuracy", "auc") else _OnlyTold()
    found = measurement(metric, by_time=by_time).of("told", model)
    assert found.low < found.value < found.high
    assert found.low <= loss <= found.high
    assert found.high - found.low < 0.2 * loss


class _OnlyTold(SumOfFeatures):
    def predict(self, features: Float32Matrix) -> Float64Array:
        return super().predict(features[:, :1])


def test_a_column_that_the_model_does_not_read_is_worth_nothing() -> None:
    found = measurement("auc").of("untold", FirstFeature())
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_column_that_misleads_is_worth_less_than_nothing() -> None:
    """The model believes in a column that says nothing, which adds an error of its own: of a spread of 1."""
    given_rows = measurement("mae")
    found = given_rows.of("untold", SumOfFeatures())
    assert found.low <= 0.0 <= found.high
    misled = replace(
        given_rows, sample=replace(given_rows.sample, target=-given_rows.sample.rows["told"].to_numpy())
    )
    assert misled.of("told", SumOfFeatures()).high < 0


def test_equal_seeds_give_equal_numbers() -> None:
    model = FirstFeature()
    assert measurement("auc").of("told", model) == measurement("auc").of("told", model)
    assert measurement("auc", seed=1).of("told", model) != measurement("auc").of("told", model)
    orders = [tuple(Shuffles(2, 0).order(50, column, repeat)) for column in (0, 1) for repeat in (0, 1)]
    assert len(set(orders)) == 4


def test_more_repeats_narrow_the_interval() -> None:
    few, many = (measurement("auc", n_rows=300, repeats=n).of("told", FirstFeature()) for n in (2, 40))
    assert many.high - many.low < few.high - few.low


@given(n_rows=st.integers(0, 300), limit=st.integers(1, 300), seed=st.integers(0, 99))
def test_the_sample_keeps_the_order_and_takes_no_row_twice(n_rows: int, limit: int, seed: int) -> None:
    drawn = drawn_rows(n_rows, limit, seed)
    assert len(drawn) == min(n_rows, limit)
    assert (np.diff(drawn) > 0).all() and ((drawn >= 0) & (drawn < n_rows)).all()
    assert (drawn == drawn_rows(n_rows, limit, seed)).all()
