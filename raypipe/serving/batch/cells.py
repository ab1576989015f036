"""Cells of a column as the kind that the model was trained on; what a column of an odd type cannot be."""

from __future__ import annotations

import polars as pl

from raypipe.core.errors import SchemaError
from raypipe.data.event_time import TIME_TYPE, parse_times
from raypipe.data.schema import Column, ColumnKind

_TRUE_OR_FALSE = {"true": True, "false": False, "1": True, "0": False}


def converted(cells: pl.Series, column: Column) -> pl.Series:
    """Return the cells as values of the column's kind, null for those that are none or are missing.

    NaN is missing. Texts are read as a CSV file spells values. Raises SchemaError for a type of which no cell
    can be of the kind.
    """
    dtype = cells.dtype
    if dtype == pl.Null:
        return cells.cast(_dtype(column.kind))
    if isinstance(dtype, pl.Categorical | pl.Enum):
        cells = cells.cast(pl.String)
    convert = {
        "number": _numbers,
        "integer": _integers,
        "boolean": _booleans,
        "category": _texts,
        "timestamp": _times,
    }[column.kind]
    found = convert(cells)
    if found is None:
        raise SchemaError(
            f"column {column.name!r} must hold values of the kind {column.kind}, as in training. Got "
            f"the type {dtype}; cast it in the source."
        )
    return found


def _dtype(kind: ColumnKind) -> pl.DataType:
    plain = {"number": pl.Float64(), "integer": pl.Int64(), "boolean": pl.Boolean(), "category": pl.String()}
    return TIME_TYPE if kind == "timestamp" else plain[kind]


def _numbers(cells: pl.Series) -> pl.Series | None:
    if not (cells.dtype.is_numeric() or cells.dtype in (pl.Boolean, pl.String)):
        return None
    numbers = cells.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite(), None)


def _integers(cells: pl.Series) -> pl.Series | None:
    if cells.dtype == pl.Boolean or cells.dtype.is_integer():
        return cells.cast(pl.Int64, strict=False)
    if cells.dtype == pl.String:
        whole = cells.cast(pl.Int64, strict=False)
        return whole.zip_with(whole.is_not_null(), _whole(cells.cast(pl.Float64, strict=False)))
    return _whole(cells.cast(pl.Float64)) if cells.dtype.is_numeric() else None


def _whole(numbers: pl.Series) -> pl.Series:
    """Return floats that are whole numbers of 64 bits, null for the others."""
    fits = (numbers == numbers.floor()) & (numbers >= -(2.0**63)) & (numbers < 2.0**63)
    return numbers.set(~fits, None).cast(pl.Int64)


def _booleans(cells: pl.Series) -> pl.Series | None:
    if cells.dtype == pl.Boolean:
        return cells
    if cells.dtype == pl.String:
        return cells.str.to_lowercase().replace_strict(_TRUE_OR_FALSE, default=None, return_dtype=pl.Boolean)
    if not cells.dtype.is_numeric():
        return None
    numbers = cells.cast(pl.Float64)
    return (numbers == 1).set(~numbers.is_in([0.0, 1.0]), None)


def _texts(cells: pl.Series) -> pl.Series | None:
    if cells.dtype == pl.String:
        return cells
    is_plain = cells.dtype == pl.Boolean or cells.dtype.is_integer()
    return cells.cast(pl.String) if is_plain else None


def _times(cells: pl.Series) -> pl.Series | None:
    if cells.dtype == pl.String:
        return parse_times(cells)
    if cells.dtype == pl.Date:
        cells = cells.cast(pl.Datetime("us"))
    if not isinstance(cells.dtype, pl.Datetime):
        return None
    if cells.dtype.time_zone is None:
        cells = cells.dt.replace_time_zone("UTC")
    return cells.cast(TIME_TYPE)
