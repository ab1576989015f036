from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from raypipe.stats.intervals import Interval
from raypipe.training.flags import (
    Rows,
    Scores,
    alone,
    constant,
    duplicate,
    duplicates,
    leak,
    skill,
    useless,
)
from raypipe.training.task import Task

N = 2_000
RANDOM = np.random.default_rng(3)
BINARY = Task("classification", "y", ("no", "yes"), "auc")
AMOUNT = Task("regression", "y", (), "mae")


def rows_of(x: object, y: np.ndarray) -> Rows:  # type: ignore[type-arg]
    table = pa.table({"x": x})
    return Rows(table.slice(0, N // 2), y[: N // 2], table.slice(N // 2), y[N // 2 :])


def test_alone_a_column_of_noise_reaches_what_chance_does() -> None:
    y = RANDOM.integers(2, size=N)
    assert alone(rows_of(RANDOM.normal(size=N), y), "x", BINARY) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", ["number", "text", "date", "boolean"])
def test_alone_a_column_that_tells_the_class_is_found_out_whatever_it_is(kind: str) -> None:
    y = RANDOM.integers(2, size=N)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    x = {
        "number": y * 10 + RANDOM.normal(size=N),
        "text": [f"{'denied' if value else 'granted'}-{i % 3}" for i, value in enumerate(y)],
        "date": pa.array([start + timedelta(days=int(value)) for value in y], pa.timestamp("us", "UTC")),
        "boolean": [bool(value) for value in y],
    }[kind]
    assert alone(rows_of(x, y), "x", BINARY) > 0.99


def test_alone_a_missing_value_may_be_what_tells() -> None:
    y = RANDOM.integers(2, size=N)
    x = [None if value else float(i % 10) for i, value in enumerate(y)]
    assert alone(rows_of(x, y), "x", BINARY) == 1.0
    texts = [None if value else f"n{i % 10}" for i, value in enumerate(y)]
    assert alone(rows_of(texts, y), "x", BINARY) == 1.0


def test_alone_a_value_that_training_rows_lack_predicts_as_all_rows_do() -> None:
    y = np.arange(N, dtype=np.float64)
    found = alone(rows_of([f"row {i}" for i in range(N)], y), "x", AMOUNT)
    assert found == pytest.approx(np.abs(y[N // 2 :] - y[: N // 2].mean()).mean())


def test_no_column_at_all_reaches_what_a_constant_does() -> None:
    y = RANDOM.integers(2, size=N)
    assert constant(rows_of(np.ones(N), y), BINARY) == 0.5
    amounts = RANDOM.normal(100.0, 10.0, size=N)
    expected = np.abs(amounts[N // 2 :] - amounts[: N // 2].mean()).mean()
    assert constant(rows_of(np.ones(N), amounts), AMOUNT) == pytest.approx(expected)


def test_alone_a_number_that_is_nearly_the_target_leaves_little_error() -> None:
    y = RANDOM.gamma(2.0, 100.0, size=N)
    error = alone(rows_of(y * 1.8 + 32 + RANDOM.normal(size=N), y), "x", AMOUNT)
    constant = float(np.abs(y - np.median(y)).mean())
    assert skill("mae", error, constant) > 0.9


@pytest.mark.parametrize(
    ("metric", "score", "constant", "way"),
    [
        ("auc", 0.75, 0.5, 0.5),
        ("accuracy", 0.9, 0.8, 0.5),
        ("log_loss", 0.25, 0.5, 0.5),
        ("mae", 30.0, 40.0, 0.25),
        ("r2", 0.4, 0.0, 0.4),
        ("auc", 0.5, 0.5, 0.0),
        ("mae", 50.0, 40.0, -0.25),
    ],
)
def test_skill_is_the_way_from_a_constant_to_perfection(
    metric: str, score: float, constant: float, way: float
) -> None:
    assert skill(metric, score, constant) == pytest.approx(way)


def test_there_is_no_skill_where_a_constant_is_perfect() -> None:
    assert np.isnan(skill("accuracy", 1.0, 1.0))
    assert leak("x", 1.0, Scores("accuracy", 1.0, 1.0)) is None


@pytest.mark.parametrize(
    ("own", "model", "leaks"),
    [
        (0.96, 0.97, True),
        (0.96, 0.99, True),
        (0.90, 0.905, True),
        (0.90, 0.92, False),
        (0.85, 0.85, False),
        (0.80, 0.80, False),
        (0.55, 0.55, False),
        (0.96, 0.60, True),
    ],
)
def test_a_leak_is_a_column_that_alone_is_near_perfect_or_nearly_all_of_a_good_model(
    own: float, model: float, leaks: bool
) -> None:
    found = leak("paid_at", own, Scores("auc", model, 0.5))
    assert (found is not None) == leaks
    if found is not None:
        assert found.flag == "leak"
        assert found.why.startswith(f"paid_at alone reaches auc {own:.4g}, ")
        assert found.why.endswith(
            "of what the whole model gains over a constant: is it known before the label is?"
        )


def test_useless_is_what_may_be_worth_nothing() -> None:
    assert useless("x", Interval(0.02, 0.001, 0.04), ()) is None
    assert useless("x", Interval(float("nan"), float("nan"), float("nan")), ()) is None
    found = useless("x", Interval(0.001, -0.002, 0.004), ("z",))
    assert found is not None and found.flag == "useless"
    assert found.why == (
        "without x the score is worse by 0.001 [-0.002, 0.004], so not surely worse; "
        "the model may read z instead"
    )
    stuck = useless("x", Interval(0.0, 0.0, 0.0), (), varies=False)
    assert stuck is not None and stuck.why == "x has one value in all rows that this was measured on"


def test_duplicates_are_found_whatever_their_values_are_called() -> None:
    month = RANDOM.integers(1, 13, size=N)
    celsius = RANDOM.normal(10, 8, size=N)
    price = RANDOM.gamma(2.0, 10.0, size=N)
    found = duplicates(
        pa.table(
            {
                "month": month,
                "month_name": [f"m{value:02}" for value in month],
                "celsius": celsius,
                "fahrenheit": celsius * 1.8 + 32,
                "price": price,
                "log_price": np.log(price),
                "price_back": -price,
                "row": np.arange(N),
                "id": [f"id-{i}" for i in range(N)],
                "other": RANDOM.normal(size=N),
                "one": np.ones(N),
                "one_too": ["a"] * N,
            }
        )
    )
    assert {name: tuple(twins) for name, twins in found.items() if twins} == {
        "month": ("month_name",),
        "month_name": ("month",),
        "celsius": ("fahrenheit",),
        "fahrenheit": ("celsius",),
        "price": ("log_price", "price_back"),
        "log_price": ("price", "price_back"),
        "price_back": ("price", "log_price"),
    }
    assert found["price"]["price_back"] == "rank correlation -1.0000"
    assert found["month"]["month_name"] == "one-to-one"


def test_missing_values_are_part_of_what_a_column_says() -> None:
    x = RANDOM.normal(size=N)
    holes = [None if i % 3 == 0 else float(value) for i, value in enumerate(x)]
    other_holes = [None if i % 3 == 1 else float(value) for i, value in enumerate(x)]
    found = duplicates(pa.table({"x": holes, "same": [v and v * 2 for v in holes], "other": other_holes}))
    assert {name: tuple(twins) for name, twins in found.items()} == {
        "x": ("same",),
        "same": ("x",),
        "other": (),
    }


def test_what_is_related_is_no_duplicate() -> None:
    x = RANDOM.normal(size=N)
    flag = x > 0
    found = duplicates(
        pa.table({"x": x, "noisy": x + RANDOM.normal(size=N) * 0.2, "flag": flag, "sign": ~flag})
    )
    assert {name: tuple(twins) for name, twins in found.items() if twins} == {
        "flag": ("sign",),
        "sign": ("flag",),
    }


def test_a_duplicate_names_its_twins() -> None:
    found = duplicate("month", {"month_name": "one-to-one"})
    assert found is not None
    assert found.why == "month says the same as month_name (one-to-one): one of them is enough"
    assert duplicate("month", {}) is None
