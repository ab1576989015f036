"""One Arrow type for each kind of column, so that files written by different hands stack into one table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.data.schema import ColumnKind, kind_of

TYPES: dict[ColumnKind, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.large_string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def canonical_type(type: pa.DataType) -> pa.DataType:
    """Return the type that columns of `type` are kept in; null stays null. Raises SchemaError."""
    return type if pa.types.is_null(type) else TYPES[kind_of(type)]


def widen(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the canonical type that holds the values of both, or None where none does without a loss."""
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if {first, second} == {TYPES["integer"], TYPES["number"]}:
        return TYPES["number"]
    return None


def cast_column(column: pa.ChunkedArray, type: pa.DataType) -> pa.ChunkedArray:
    """Cast to a canonical type; a time without a zone is UTC. Raises pa.ArrowInvalid for what cannot be."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type == type:
        return column
    if pa.types.is_timestamp(type) and pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if pa.types.is_decimal(column.type):
        return pc.cast(column, type, safe=False)
    if pa.types.is_integer(column.type) and pa.types.is_floating(type):
        return pc.cast(column, options=pc.CastOptions(target_type=type, allow_float_truncate=True))
    return pc.cast(column, options=pc.CastOptions(target_type=type, allow_time_truncate=True))
