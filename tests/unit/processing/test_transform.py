"""Tables and rows give the same bits, whatever the values."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.core.errors import ArtifactError, SchemaError
from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import Column, schema_columns
from raypipe.data.sources.config import CsvSettings
from raypipe.processing.config import CategoricalStep, DateStep, ProcessingSettings
from raypipe.processing.fit import fit_transform
from raypipe.processing.report import FeatureChoice
from raypipe.processing.steps import FittedCategory, FittedDate, FittedNumber
from raypipe.processing.transform import FittedTransform

DATA = DataSettings(sources=(CsvSettings(name="s", format="csv", path="-"),), label="label", time="ts")
PROCESSING = ProcessingSettings(
    as_category=("code",),
    use_time=True,
    categorical=CategoricalStep(max_categories=3, min_count=2, frequency=True),
    date=DateStep(parts=("year", "month", "day", "weekday", "hour", "minute")),
)
SCHEMA = pa.schema(
    {
        "number": pa.float64(),
        "integer": pa.int64(),
        "large": pa.uint64(),
        "boolean": pa.bool_(),
        "code": pa.int64(),
        "text": pa.string(),
        "ts": pa.timestamp("us", "UTC"),
        "label": pa.int64(),
    }
)
SPECIAL = st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1.7e308, -1.7e308, 5e-324, 1e-30])
TEXT = st.sampled_from(["a", "b", "", "<rare>", "ü", "\x00", "日本", "true", "1"]) | st.text(max_size=4)
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
FAR = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.none() | SPECIAL | st.floats() | st.floats(-10, 10),
            "integer": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5),
            "large": st.none() | st.integers(0, 2**64 - 1),
            "boolean": st.none() | st.booleans(),
            "code": st.none() | st.integers(-2, 2) | st.integers(-(2**63), 2**63 - 1),
            "text": st.none() | TEXT,
            "ts": st.none() | MOMENTS.filter(lambda moment: FAR[0] < moment < FAR[1]),
            "label": st.integers(0, 1),
        }
    ),
    min_size=1,
    max_size=20,
)


def table(rows: Sequence[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SCHEMA)


def fitted(rows: pa.Table, processing: ProcessingSettings = PROCESSING) -> FittedTransform:
    return fit_transform(Profile.of_table(rows), schema_columns(rows.schema), DATA, processing)


def assert_same(transform: FittedTransform, rows: pa.Table) -> None:
    by_table, by_rows = transform.transform_table(rows), transform.transform_rows(rows.to_pylist())
    assert by_table.dtype == by_rows.dtype == np.float32
    assert by_table.shape == by_rows.shape == (rows.num_rows, len(transform.feature_names))
    assert by_table.flags.c_contiguous
    assert np.isfinite(by_table).all()
    different = np.flatnonzero((by_table.view(np.int32) != by_rows.view(np.int32)).any(axis=0))
    assert [transform.feature_names[i] for i in different] == []


ANCHOR = {"number": 1.5, "text": "a", "label": 0}
"""A row that leaves something to fit on, whatever the others are."""


@given(ROWS, ROWS)
@example([{"integer": 2**53 + 1}, {"integer": None}], [{"integer": 2**63 - 1}])
@example([{"number": 1.7e308}, {"number": -1.7e308}], [{"number": -math.inf}, {"number": math.nan}])
@example([{"number": 5e-324}, {"number": 0.0}], [{"number": 1.0}])
def test_rows_and_tables_give_the_same_bits(
    train: list[dict[str, object]], new: list[dict[str, object]]
) -> None:
    transform = fitted(table([*train, ANCHOR, {**ANCHOR, "number": 2.0}]))
    assert_same(transform, table(train))
    assert_same(transform, table(new))
    assert_same(FittedTransform.from_json(json.loads(json.dumps(transform.to_json()))), table(new))


@given(ROWS)
def test_json_and_pickle_round_trip(rows: list[dict[str, object]]) -> None:
    transform = fitted(table([*rows, ANCHOR, {**ANCHOR, "number": 2.0}]))
    assert (
        FittedTransform.from_json(json.loads(json.dumps(transform.to_json(), allow_nan=False))) == transform
    )
    transform.transform_rows([])
    assert pickle.loads(pickle.dumps(transform)) == transform


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("bank_full", "y"),
        ("chicago_taxi_tfx", "tips"),
        ("elec2", "class"),
        ("nycflights13_flights", "carrier"),
    ],
)
def test_real_data(real_data: Callable[[str], Path], file: str, label: str) -> None:
    rows = pq.read_table(real_data(f"{file}.parquet")).slice(0, 3000)
    data = DATA.model_copy(update={"label": label, "time": None})
    columns = schema_columns(rows.schema)
    transform = fit_transform(Profile.of_table(rows), columns, data, ProcessingSettings())
    assert_same(transform, rows)


NUMBER = FittedNumber(
    Column("x", "number", True), fill=2.0, low=0.0, high=8.0, centre=4.0, reciprocal=0.5, indicator=True
)


def one(step: FittedNumber | FittedCategory | FittedDate) -> FittedTransform:
    return FittedTransform((step,), (FeatureChoice(step.column.name, 1, "for the test"),))


def test_numbers() -> None:
    values = [4.0, None, math.nan, math.inf, -math.inf, 1e308]
    want = [[0, 0], [-1, 1], [-1, 1], [2, 0], [-2, 0], [np.finfo(np.float32).max, 0]]
    assert one(NUMBER).transform_table(pa.table({"x": values})).tolist() == want
    assert one(NUMBER).transform_rows([{"x": value} for value in values]).tolist() == want


@pytest.mark.parametrize("divisor", [1.1, 1.3])
def test_scaling_multiplies_in_both_paths(divisor: float) -> None:
    # Multiples of the divisor whose quotients lie half-way between two float32: a last bit decides.
    ulp = float(np.finfo(np.float32).eps)
    values = (1 + (np.arange(4000) + 0.5) * ulp) * divisor
    divided = (values / divisor).astype(np.float32)
    multiplied = (values * (1 / divisor)).astype(np.float32)
    step = FittedNumber(Column("x", "number", True), 0.0, 0.0, 1.0, 0.0, 1 / divisor, indicator=False)
    rows = pa.table({"x": values})
    assert_same(one(step), rows)
    assert np.array_equal(one(step).transform_table(rows)[:, 0], multiplied)
    assert not np.array_equal(multiplied, divided)


def test_numbers_of_other_types() -> None:
    transform = one(NUMBER)
    assert transform.transform_table(pa.table({"x": [True, None]})).tolist() == [[-1.5, 0], [-1, 1]]
    assert transform.transform_rows([{"x": True}, {}]).tolist() == [[-1.5, 0], [-1, 1]]
    decimals = [Decimal("1.1"), Decimal("-123456789012345678.3")]
    exact = pa.table({"x": pa.array(decimals, pa.decimal128(30, 1))})
    assert_same(transform, exact)
    assert transform.transform_rows([{"x": 10**400}, {"x": -(10**400)}]).tolist() == [[2, 0], [-2, 0]]


def test_an_absent_column_is_missing_values_if_it_may_be() -> None:
    some = pa.table({"other": [1, 2]})
    assert one(NUMBER).transform_table(some).tolist() == [[-1, 1], [-1, 1]]
    assert one(NUMBER).transform_table(pa.table({"x": pa.nulls(1)})).tolist() == [[-1, 1]]
    needed = FittedNumber(Column("x", "number", False), 0, 0, 1, 0, 1, indicator=False)
    with pytest.raises(SchemaError, match="'x' must be in the table"):
        one(needed).transform_table(some)


CODE = FittedCategory(Column("c", "integer", True), ("1", str(2**60 + 1)), rare=True, missing=True)
FLAG = FittedCategory(Column("c", "boolean", True), ("true", "false"), rare=True, missing=True)
WORD = FittedCategory(Column("c", "category", True), ("true", "1", "a"), rare=True, missing=True)


@pytest.mark.parametrize(
    ("step", "values"),
    [
        (CODE, [1, 2**60 + 1, 2**60, None, 0]),
        (CODE, [1.0, -0.0, 1.5, math.nan, math.inf, 1e300, float(2**60), None]),
        (CODE, [True, False, None]),
        (FLAG, [True, False, None]),
        (FLAG, [0, 1, 2, None]),
        (FLAG, [0.0, 1.0, 0.5, math.nan, None]),
        (WORD, ["true", "True", "1", "", None]),
        (WORD, [True, False, None]),
        (WORD, [1, 2, -1, None]),
        (WORD, [None, None]),
    ],
)
def test_categories_of_other_types(step: FittedCategory, values: list[object]) -> None:
    assert_same(one(step), pa.table({"c": values}))


def test_a_boolean_and_its_number_are_one_value() -> None:
    for value in (True, 1, 1.0):
        assert one(CODE).transform_rows([{"c": value}]).tolist() == [[1, 0, 0, 0]]
        assert one(FLAG).transform_rows([{"c": value}]).tolist() == [[1, 0, 0, 0]]
    assert one(WORD).transform_rows([{"c": True}, {"c": 1}]).tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]


def test_dictionary_encoded_text() -> None:
    words = pa.array(["a", None, "new"]).dictionary_encode()
    assert one(WORD).transform_table(pa.table({"c": words})).argmax(axis=1).tolist() == [2, 4, 3]


def test_dates_of_every_type() -> None:
    features = ("hour", "minute", "weekday", "month", "day", "yearday_sin")
    transform = one(FittedDate(Column("t", "timestamp", True), features, (2000, 2024), missing=True))
    moment = datetime(2024, 2, 29, 23, 30, 15, 999_999)
    for type in (pa.timestamp("us"), pa.timestamp("ns", "Asia/Tokyo"), pa.timestamp("us", "-03:00")):
        assert_same(transform, pa.table({"t": pa.array([moment, None], type)}))
    days = [date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31), None]
    assert_same(transform, pa.table({"t": pa.array(days, pa.date32())}))
    assert_same(transform, pa.table({"t": pa.array(days, pa.date64())}))
    assert_same(transform, pa.table({"t": pa.nulls(2)}))


def test_a_moment_counts_in_utc() -> None:
    transform = one(FittedDate(Column("t", "timestamp", True), ("hour",), None, missing=False))
    india = timezone(timedelta(hours=5, minutes=30))
    moments = [datetime(2024, 1, 1, 4, 30, tzinfo=india), datetime(2023, 12, 31, 23), None]
    features = transform.transform_rows([{"t": moment} for moment in moments])
    assert features.tolist() == [[1], [1], [0]]


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (NUMBER, "4.0"),
        (NUMBER, datetime(2024, 1, 1)),
        (NUMBER, [4.0]),
        (CODE, "1"),
        (CODE, datetime(2024, 1, 1)),
        (WORD, 1.5),
        (WORD, ["a"]),
        (FittedDate(Column("t", "timestamp", True), ("hour",), None, False), "2024-01-01"),
        (FittedDate(Column("t", "timestamp", True), ("hour",), None, False), 0),
    ],
)
def test_values_of_another_kind_are_refused(
    step: FittedNumber | FittedCategory | FittedDate, value: object
) -> None:
    column = step.column
    with pytest.raises(SchemaError, match=f"'{column.name}' must hold a value of kind {column.kind}"):
        one(step).transform_rows([{column.name: value}])  # type: ignore[dict-item]
    with pytest.raises(SchemaError, match=r"must be of kind|must hold numbers"):
        one(step).transform_table(pa.table({column.name: [value]}))


def test_a_moment_beyond_the_calendar_is_refused() -> None:
    transform = one(FittedDate(Column("t", "timestamp", True), ("hour",), None, missing=False))
    with pytest.raises(SchemaError, match="'t' must hold"):
        transform.transform_rows([{"t": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}])


def test_no_rows() -> None:
    transform = one(NUMBER)
    assert transform.transform_rows([]).shape == (0, 2)
    assert transform.transform_table(pa.table({"x": pa.array([], pa.float64())})).shape == (0, 2)


def test_more_rows_than_a_block() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    assert_same(one(NUMBER), pa.table({"x": values}))


def test_feature_names_are_distinct() -> None:
    steps = (
        FittedCategory(Column("a", "category", True), ("b=c", "<rare>"), rare=True, missing=False),
        FittedCategory(Column("a=b", "category", True), ("c",), rare=False, missing=False),
    )
    assert FittedTransform(steps, ()).feature_names == ("a=b=c", "a=<rare>", "a=<rare>#2", "a=b=c#2")


def test_other_json_is_refused() -> None:
    good = one(NUMBER).to_json()
    for bad in (None, {}, {**good, "format": 1}):
        with pytest.raises(ArtifactError, match="transform must be JSON of format 2"):
            FittedTransform.from_json(bad)


def test_rows_need_neither_polars_nor_pyarrow() -> None:
    code = (
        "import sys; from raypipe.processing.transform import FittedTransform as F;"
        f"print(F.from_json({one(NUMBER).to_json()!r}).transform_rows([{{'x': 4.0}}]).tolist());"
        "assert not {'polars', 'pyarrow', 'ray', 'pandas'} & set(sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (answer.stdout, answer.stderr) == ("[[0.0, 0.0]]\n", "")
