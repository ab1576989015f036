from __future__ import annotations

import math
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from raypipe.core.errors import ConfigError, DataError
from raypipe.data.config import DataSettings, LabelSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import Column, schema_columns
from raypipe.data.sources.config import CsvSettings
from raypipe.processing.config import CategoricalStep, DateStep, NumericStep, ProcessingSettings
from raypipe.processing.fit import candidate_columns, fit_transform
from raypipe.processing.steps import FittedCategory, FittedDate, FittedNumber, FittedStep
from raypipe.processing.transform import FittedTransform

N = 40
ROWS = pa.table(
    {
        "age": [float(i % 7) for i in range(N)],
        "job": ["a", "b"] * (N // 2),
        "y": [0, 1] * (N // 2),
    }
)


def data(**changes: object) -> DataSettings:
    source = CsvSettings(name="s", format="csv", path="-")
    return DataSettings.model_validate({"sources": (source,), "label": "y", **changes})


def fit(
    rows: pa.Table, settings: DataSettings | None = None, processing: ProcessingSettings | None = None
) -> FittedTransform:
    columns = schema_columns(rows.schema)
    settings, processing = settings or data(), processing or ProcessingSettings()
    return fit_transform(
        Profile.of_table(rows, candidate_columns(columns, settings, processing)),
        columns,
        settings,
        processing,
    )


def fit_one(values: object, processing: ProcessingSettings | None = None) -> FittedStep:
    rows = pa.table({"x": values})
    return fit(rows, data(label="absent"), processing).steps[0]


def reasons(transform: FittedTransform) -> dict[str, str]:
    return {choice.column: choice.reason for choice in transform.choices if not choice.used}


def test_every_column_has_a_choice() -> None:
    transform = fit(ROWS)
    assert transform.feature_names == ("age", "job=a", "job=b")
    assert [(choice.column, choice.n_features) for choice in transform.choices] == [
        ("age", 1),
        ("job", 2),
        ("y", 0),
    ]
    assert transform.ignored == ("y",)
    assert transform.inputs == (Column("age", "number", True), Column("job", "category", True))


def test_what_auto_leaves_out() -> None:
    rows = ROWS
    for name, values in {
        "dropped": [1, 2] * (N // 2),
        "when": [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(N)],
        "delay": list(range(N)),
        "other": list(range(N)),
        "nothing": pa.nulls(N, pa.float64()),
        "not_finite": [math.nan, math.inf] * (N // 2),
        "untyped": pa.nulls(N),
        "constant": [1] * N,
        "constant_text": ["x"] * N,
        "name": [f"row {i}" for i in range(N)],
        "seldom": [str(i % 10) for i in range(N)],
    }.items():
        rows = rows.append_column(name, pa.array(values))
    label = LabelSettings(name="y", expression="delay > 15 AND other > 2")
    transform = fit(rows, data(label=label, drop=["dropped"], time="when"))
    assert reasons(transform) == {
        "y": "is the label",
        "dropped": "is listed in data.drop",
        "when": "is the event time (processing.use_time makes it a feature)",
        "delay": "is an input of the label's expression",
        "other": "is an input of the label's expression",
        "nothing": "has no value in the training rows",
        "not_finite": "has no value in the training rows",
        "untyped": "has no value in the training rows",
        "constant": "has only one value in the training rows",
        "constant_text": "has only one value in the training rows",
        "name": "names rows: 40 distinct texts in 40 rows",
        "seldom": "has no value that occurs 10 times in the training rows",
    }
    assert set(transform.ignored) == set(reasons(transform))


def test_one_value_and_missing_ones_say_something() -> None:
    rows = ROWS.append_column("seen", pa.array([1.0, None] * (N // 2)))
    rows = rows.append_column("said", pa.array(["x", None] * (N // 2)))
    names = fit(rows).feature_names
    assert names == ("age", "job=a", "job=b", "seen", "seen__missing", "said=x", "said=<missing>")


def test_only_candidates_are_profiled() -> None:
    columns = schema_columns(ROWS.schema)
    assert candidate_columns(columns, data(drop=["age"]), ProcessingSettings()) == ("job",)


def test_a_list_of_features_is_honoured() -> None:
    rows = ROWS.append_column("constant", pa.array([1.0] * N)).append_column("empty", pa.nulls(N))
    rows = rows.append_column("name", pa.array([f"row {i}" for i in range(N)]))
    chosen = ProcessingSettings(
        features=("constant", "name", "empty"), categorical=CategoricalStep(min_count=1, max_categories=2)
    )
    transform = fit(rows, processing=chosen)
    assert transform.feature_names == ("constant", "name=row 0", "name=row 1", "name=<rare>")
    assert reasons(transform) == {
        "age": "is not in processing.features",
        "job": "is not in processing.features",
        "y": "is the label",
        "empty": "has no value in the training rows",
    }


def test_a_list_may_name_the_event_time() -> None:
    rows = pa.table({"t": [datetime(2024, 1, 1, i % 24) for i in range(N)], "y": [0] * N})
    for processing in (ProcessingSettings(features=("t",)), ProcessingSettings(use_time=True)):
        assert "t__hour" in fit(rows, data(time="t"), processing).feature_names


@pytest.mark.parametrize(
    ("processing", "settings", "message"),
    [
        ({"features": ("agge",)}, {}, r"processing.features .* Got 'agge': did you mean 'age'\?"),
        ({"as_category": ("jop",)}, {}, r"processing.as_category .* did you mean 'job'\?"),
        ({"as_category": ("age",)}, {}, r"as_category must name integer columns. Got 'age', .* number"),
        ({"features": ("y",)}, {}, r"processing.features must not name 'y', which is the label"),
        ({"features": ("age",)}, {"drop": ("age",)}, r"must not name 'age', which is listed in data.drop"),
        (
            {"features": ("age",)},
            {"label": {"name": "y", "expression": "age > 1"}},
            r"must not name 'age', which is an input of the label",
        ),
    ],
)
def test_wrong_names(processing: dict[str, object], settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(ROWS, data(**settings), ProcessingSettings.model_validate(processing))


def test_no_feature_left() -> None:
    with pytest.raises(
        DataError, match=r"none is: 'age' is listed in data.drop; 'job' is .*; 'y' is the label"
    ):
        fit(ROWS, data(drop=["age", "job"]))


def test_numbers() -> None:
    step = fit_one([1.0, 2.0, None, 6.0, math.inf])
    assert isinstance(step, FittedNumber)
    assert (step.fill, step.low, step.high, step.centre, step.indicator) == (2.0, 1.0, 6.0, 3.0, True)
    assert step.reciprocal == 1 / math.sqrt(14 / 3)


def test_settings_of_numbers() -> None:
    def settings(**changes: object) -> ProcessingSettings:
        return ProcessingSettings(numeric=NumericStep.model_validate(changes))

    values = [1.0, 2.0, None, 6.0]
    mean = fit_one(values, settings(impute="mean", scale="none", indicator=False))
    assert isinstance(mean, FittedNumber)
    assert (mean.fill, mean.centre, mean.reciprocal, mean.indicator) == (3.0, 0.0, 1.0, False)
    zero = fit_one(values, settings(impute="constant", value=-1))
    assert isinstance(zero, FittedNumber)
    assert zero.fill == -1.0


@pytest.mark.parametrize("values", [[1e200, -1e200], [5e-324, 0.0], [1.7e308, -1.7e308]])
def test_scales_are_finite_at_the_ends_of_float64(values: list[float]) -> None:
    step = fit_one(values)
    assert isinstance(step, FittedNumber)
    assert math.isfinite(step.reciprocal)
    assert step.reciprocal > 0


def test_categories() -> None:
    settings = ProcessingSettings(categorical=CategoricalStep(max_categories=2, min_count=2))
    step = fit_one(["b", "b", "a", "a", "a", "c", "c", None, "d"], settings)
    assert step == FittedCategory(Column("x", "category", True), ("a", "b"), rare=True, missing=True)


def test_frequencies() -> None:
    settings = ProcessingSettings(categorical=CategoricalStep(min_count=2, frequency=True))
    step = fit_one(["a", "a", "b"], settings)
    assert isinstance(step, FittedCategory)
    assert step.frequencies == (("a", math.log1p(2)), ("b", math.log1p(1)))
    assert step.feature_names == ("x=a", "x=<rare>", "x__frequency")


def test_codes_and_booleans() -> None:
    settings = ProcessingSettings(as_category=("x",), categorical=CategoricalStep(min_count=2))
    assert fit_one([7, 7, -1, -1, -1], settings).feature_names == ("x=-1", "x=7")
    assert fit_one([True, False, False]).feature_names == ("x=false", "x=true")
    assert fit_one([7, 7, -1]).feature_names == ("x",)


def test_dates_keep_what_varies() -> None:
    def parts(*moments: datetime) -> set[str]:
        wanted = DateStep(parts=("year", "month", "day", "weekday", "hour", "minute"), cycles=False)
        step = fit_one(list(moments), ProcessingSettings(date=wanted))
        assert isinstance(step, FittedDate)
        return {name.removeprefix("x__") for name in step.feature_names}

    start = datetime(2024, 1, 1)
    assert parts(start, start + timedelta(minutes=5)) == {"hour", "minute"}
    assert parts(start, start + timedelta(hours=5)) == {"hour"}
    assert parts(start, start + timedelta(days=5)) == {"day", "weekday"}
    assert parts(start, start + timedelta(days=50)) == {"month", "day", "weekday"}
    assert parts(start, start - timedelta(days=1)) == {"year", "month", "day", "weekday"}


def test_features_of_a_date() -> None:
    step = fit_one([datetime(2023, 1, 1), datetime(2024, 5, 6, 7), None])
    assert step.feature_names == tuple(
        f"x__{part}"
        for part in (
            "hour",
            "hour_sin",
            "hour_cos",
            "weekday",
            "weekday_sin",
            "weekday_cos",
            "month",
            "yearday_sin",
            "yearday_cos",
            "missing",
        )
    )


def test_dates_of_which_nothing_varies() -> None:
    rows = ROWS.append_column("t", pa.array([datetime(2024, 1, 1), datetime(2024, 1, 2)] * (N // 2)))
    settings = ProcessingSettings(date=DateStep(parts=("hour",), cycles=False))
    assert reasons(fit(rows, processing=settings))["t"] == (
        "has no calendar part that varies in the training rows"
    )


def test_columns_with_missing_training_values_are_nullable() -> None:
    schema = pa.schema([pa.field("x", pa.float64(), nullable=False), pa.field("z", pa.float64(), False)])
    rows = pa.table({"x": [1.0, math.nan, 3.0], "z": [1.0, 2.0, 3.0]}, schema=schema)
    assert [column.nullable for column in fit(rows, data(label="absent")).inputs] == [True, False]


def test_any_order_of_rows_fits_the_same() -> None:
    assert fit(ROWS.take(list(reversed(range(N))))) == fit(ROWS)
