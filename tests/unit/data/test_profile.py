from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from itertools import pairwise
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.data.profile import Profile
from raypipe.data.schema import Column

ROWS = st.fixed_dictionaries(
    {
        "number": st.none() | st.floats(),
        "integer": st.none() | st.integers(-(2**63), 2**63 - 1),
        "boolean": st.none() | st.booleans(),
        "category": st.none() | st.text(max_size=3),
        "timestamp": st.none() | st.datetimes(timezones=st.just(UTC)),
    }
)
SCHEMA = pa.schema(
    {
        "number": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "category": pa.string(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
)


def table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def profile_of(values: list[object], type: pa.DataType | None = None) -> Profile:
    return Profile.of_table(pa.table({"x": pa.array(values, type)}))


@given(st.lists(ROWS, max_size=30), st.lists(st.integers(0, 30)), st.randoms(use_true_random=False))
def test_any_split_in_any_order_gives_one_profile(
    rows: list[dict[str, object]], cuts: list[int], random: Random
) -> None:
    whole = table(rows)
    ends = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    blocks = [whole.slice(start, end - start) for start, end in pairwise(ends)]
    parts = [Profile.of_table(block) for block in blocks or [whole]]
    random.shuffle(parts)
    merged = reduce(Profile.merge, parts)
    assert merged == Profile.of_table(whole)
    assert json.dumps(merged.to_json()) == json.dumps(Profile.of_table(whole).to_json())


@given(st.lists(ROWS, max_size=10))
def test_json_round_trip(rows: list[dict[str, object]]) -> None:
    found = Profile.of_table(table(rows))
    assert Profile.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_numbers() -> None:
    x = profile_of([1.0, None, math.nan, math.inf, -math.inf, -0.0, 0.0, 4.0])["x"]
    assert (x.n_rows, x.n_nulls, x.n_nan, x.n_infinite, x.n_missing) == (8, 1, 1, 2, 2)
    assert (x.min, x.max, x.mean, x.variance, x.quantile(0.5)) == (0.0, 4.0, 1.25, 2.6875, 0.0)
    assert (x.n_distinct, x.values.top(1)) == (3, ((0.0, 2),))


def test_integers_are_counted_exactly_and_measured_as_floats() -> None:
    x = profile_of([2**53 + 1, 2**53 + 1, 2**53], pa.int64())["x"]
    assert x.values.top(2) == ((2**53 + 1, 2), (2**53, 1))
    assert (x.min, x.max) == (2.0**53, 2.0**53)
    assert profile_of([2**64 - 1], pa.uint64())["x"].values.top(1) == ((2**64 - 1, 1),)


def test_booleans_are_zero_and_one() -> None:
    x = profile_of([True, False, True, None])["x"]
    assert (x.mean, x.n_nulls, x.values.top(2)) == (2 / 3, 1, ((1, 2), (0, 1)))


@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_text(type: pa.DataType) -> None:
    x = profile_of(["b", "", None, "ü", "b"], type)["x"]
    assert (x.n_nulls, x.n_distinct, x.values.top(3)) == (1, 3, (("b", 2), ("", 1), ("ü", 1)))
    assert (x.min, x.mean, x.variance, x.quantile(0.5)) == (None, None, None, None)


def test_dictionaries_are_what_their_values_are() -> None:
    text = pa.array(["a", None, "a"]).dictionary_encode()
    assert Profile.of_table(pa.table({"x": text}))["x"].values.top(1) == (("a", 2),)


def test_dictionaries_in_chunks_with_nulls_and_unused_entries() -> None:
    chunks = [
        pa.DictionaryArray.from_arrays(pa.array([0, None, 2, 0]), pa.array(["a", "unused", "b"])),
        pa.DictionaryArray.from_arrays(pa.array([1, 0, 2]), pa.array(["b", "a", None])),
    ]
    column = pa.chunked_array(chunks)
    x = Profile.of_table(pa.table({"x": column}))["x"]
    assert (x.n_nulls, x.values.top(3)) == (2, (("a", 3), ("b", 2)))
    assert x == Profile.of_table(pa.table({"x": column.cast(pa.string())}))["x"]


def test_timestamps_of_every_type_are_microseconds_in_utc() -> None:
    moment = datetime(2024, 2, 29, 1, tzinfo=UTC)
    want = (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)
    for type in (pa.timestamp("s", "UTC"), pa.timestamp("ns", "Asia/Tokyo"), pa.timestamp("ms", "-03:00")):
        assert profile_of([moment, None], type)["x"].min == want
    assert profile_of([moment.replace(tzinfo=None)], pa.timestamp("us"))["x"].max == want
    for day in (pa.date32(), pa.date64()):
        assert profile_of([date(2024, 2, 29)], day)["x"].min == want - 3_600_000_000


def test_the_step_of_timestamps() -> None:
    hours = [datetime(2024, 1, 1, hour) for hour in (0, 6, 9)]
    assert profile_of(hours)["x"].step == 3 * 3_600_000_000
    assert profile_of([None], pa.timestamp("us"))["x"].step == 0


def test_the_step_of_timestamps_that_begin_alike() -> None:
    hour = timedelta(hours=1)
    begin = datetime(1970, 1, 1)
    times = [begin] * 2000 + [begin + 12 * hour] * 2000 + [begin + 9 * hour]
    assert profile_of(times)["x"].step == 3 * 3_600_000_000
    assert profile_of([begin])["x"].step == 0


def test_decimals_are_the_nearest_number() -> None:
    x = profile_of([Decimal("0.1"), Decimal("1234567890123456789.12")], pa.decimal128(30, 2))["x"]
    assert (x.min, x.max) == (0.1, 1234567890123456789.12)


def test_distinct_values_never_pass_the_rows() -> None:
    assert profile_of([i / 7 for i in range(5000)])["x"].n_distinct <= 5000


def test_without_rows() -> None:
    found = Profile.of_table(table([]))
    assert [column.n_distinct for column in found.columns] == [0] * 5
    some = Profile.of_table(table([{"number": 1.0}]))
    assert found.merge(some) == some


def test_only_the_named_columns() -> None:
    found = Profile.of_table(pa.table({"a": [1], "b": [2], "c": [[3]]}), ["b"])
    assert found.names == ("b",)
    with pytest.raises(SchemaError, match="no column 'a'"):
        found["a"]


def test_only_the_parts_that_are_asked_for() -> None:
    rows = pa.table({"a": [1.0, 2.0, 2.0], "b": ["x", "y", None]})
    whole, bare = Profile.of_table(rows), Profile.of_table(rows, parts={"a": (), "b": ()})
    assert (bare["a"].mean, bare["a"].min, bare["b"].n_nulls) == (whole["a"].mean, 1.0, 1)
    for name in ("a", "b"):
        with pytest.raises(SchemaError, match=rf"'{name}' was made without values"):
            bare[name].values.top(1)
        with pytest.raises(SchemaError, match="without quantiles"):
            bare[name].quantile(0.5)
    assert Profile.from_json(json.loads(json.dumps(bare.to_json()))) == bare
    assert bare.merge(bare)["a"].n_rows == 6
    with pytest.raises(SchemaError, match="the same parts"):
        bare.merge(whole)
    half = Profile.of_table(rows, parts={"a": ("quantiles",)})
    assert (half["a"].quantile(0.5), half["b"].values) == (2.0, whole["b"].values)


def test_a_column_of_a_given_kind_that_the_table_has_otherwise_or_not_at_all() -> None:
    rows = pa.table({"a": pa.array([1, 2], pa.int64())})
    found = Profile.of_columns(rows, [Column("a", "number", False), Column("b", "category", True)])
    assert (
        found["a"]
        == Profile.of_columns(rows.cast(pa.schema({"a": pa.float64()})), [Column("a", "number", False)])["a"]
    )
    assert (found["b"].n_rows, found["b"].n_nulls, found["b"].n_distinct) == (2, 2, 0)


@pytest.mark.parametrize(
    ("values", "is_constant"),
    [
        *(([1.0, 1.0], True), ([1.0, None], False), ([1.0, math.inf], False), ([1.0, 2.0], False)),
        *((["a", "a"], True), (["a", "b"], False), (["a", None], False)),
        *(([True, True], True), ([None], False)),
    ],
)
def test_whether_a_column_holds_one_value(values: list[object], is_constant: bool) -> None:
    assert profile_of(values)["x"].is_constant == is_constant


def test_what_differs_is_not_merged() -> None:
    number, text = profile_of([1.0]), profile_of(["a"])
    with pytest.raises(SchemaError, match="of one column"):
        number.merge(text)
    with pytest.raises(SchemaError, match="the same columns"):
        number.merge(Profile(0, ()))


def test_the_summary_is_for_people() -> None:
    assert profile_of([1.0, 3.0, None])["x"].summary() == {
        "n_rows": 3,
        "n_nulls": 1,
        "n_nan": 0,
        "n_infinite": 0,
        "n_distinct": 2,
        "n_distinct_exact": True,
        "min": 1.0,
        "max": 3.0,
        "mean": 2.0,
        "std": 1.0,
        "quantiles": {"0.01": 1.0, "0.25": 1.0, "0.5": 1.0, "0.75": 3.0, "0.99": 3.0},
        "top": [[1.0, 1], [3.0, 1]],
    }


def test_other_json_is_refused() -> None:
    good = profile_of([1.0]).to_json()
    for bad in (None, {}, {**good, "format": 2}, {**good, "columns": [{}]}):
        with pytest.raises(SchemaError, match="profile must"):
            Profile.from_json(bad)
