from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from raypipe.core.errors import SchemaError
from raypipe.data.canonical import TYPES, canonical_type, cast_column, widen

UTC_US = TYPES["timestamp"]


@pytest.mark.parametrize(
    ("type", "canonical"),
    [
        (pa.int8(), pa.int64()),
        (pa.float32(), pa.float64()),
        (pa.decimal128(10, 2), pa.float64()),
        (pa.string(), pa.large_string()),
        (pa.dictionary(pa.int8(), pa.string()), pa.large_string()),
        (pa.date32(), UTC_US),
        (pa.timestamp("ns", "Europe/Berlin"), UTC_US),
        (pa.null(), pa.null()),
    ],
)
def test_each_type_has_one_canonical_type(type: pa.DataType, canonical: pa.DataType) -> None:
    assert canonical_type(type) == canonical


def test_nested_types_are_refused() -> None:
    with pytest.raises(SchemaError):
        canonical_type(pa.list_(pa.int64()))


def test_only_what_loses_nothing_widens() -> None:
    assert widen(pa.int64(), pa.float64()) == widen(pa.float64(), pa.int64()) == pa.float64()
    assert widen(pa.null(), pa.bool_()) == widen(pa.bool_(), pa.null()) == pa.bool_()
    assert widen(pa.int64(), pa.large_string()) is None
    assert widen(pa.bool_(), pa.int64()) is None


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["2026-01-02"]).cast(pa.date32()),
        pa.array([1767312000], pa.timestamp("s")),
        pa.array([1767312000 * 10**9 + 1], pa.timestamp("ns", "UTC")),
    ],
)
def test_times_become_microseconds_in_utc(values: pa.Array) -> None:
    cast = cast_column(pa.chunked_array([values]), UTC_US)
    assert cast.type == UTC_US
    assert cast[0].as_py().isoformat() == "2026-01-02T00:00:00+00:00"


def test_decimals_dictionaries_and_large_integers_are_cast() -> None:
    decimals = pa.chunked_array([pa.array([Decimal("1.25")])])
    assert cast_column(decimals, pa.float64()).to_pylist() == [1.25]
    words = pa.chunked_array([pa.array(["a", None]).dictionary_encode()])
    assert cast_column(words, pa.large_string()).to_pylist() == ["a", None]
    large = pa.chunked_array([pa.array([2**53 + 1])])
    assert cast_column(large, pa.float64()).to_pylist() == [float(2**53)]


def test_an_unsigned_integer_that_does_not_fit_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        cast_column(pa.chunked_array([pa.array([2**64 - 1], pa.uint64())]), pa.int64())
