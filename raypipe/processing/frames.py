"""Columns as a polars frame for functions of the user's own: one type a kind, from tables and from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time

import numpy as np
import polars as pl
import pyarrow as pa

from raypipe.data.schema import Column, ColumnKind, Value
from raypipe.processing.cells import Cell, number_of, refused, text_of
from raypipe.processing.columns import floats_of, kind_in, series_of, texts_of

_TYPES: Mapping[ColumnKind, pl.DataType] = {
    "number": pl.Float64(),
    "integer": pl.Int64(),
    "boolean": pl.Boolean(),
    "category": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
}


def frame_of(table: pa.Table, columns: Sequence[Column]) -> pl.DataFrame:
    """Return columns of a table; a number that is missing is null."""
    return pl.DataFrame({column.name: _column(table, column) for column in columns})


def frame_of_rows(rows: Sequence[Mapping[str, Value]], columns: Sequence[Column]) -> pl.DataFrame:
    """Return columns of a few rows, equal to those of a table of them."""
    return pl.DataFrame(
        {column.name: [_cell(row.get(column.name), column) for row in rows] for column in columns},
        schema={column.name: _TYPES[column.kind] for column in columns},
    )


def _column(table: pa.Table, column: Column) -> pl.Series:
    type = _TYPES[column.kind]
    if kind_in(table.schema, column) is None:
        return pl.Series([None], dtype=type).new_from_index(0, table.num_rows)
    if column.kind == "number":
        return pl.Series(floats_of(table, column)).fill_nan(None)
    if column.kind == "timestamp":
        return series_of(table, column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    texts = texts_of(table, column)
    if column.kind == "boolean":
        return texts.replace_strict({"false": False, "true": True}, default=None, return_dtype=type)
    return texts.cast(type, strict=False)


def _cell(cell: Cell, column: Column) -> object:
    match column.kind:
        case "number":
            number = number_of(cell, column)
            return None if number is None or np.isnan(number) else number
        case "timestamp":
            return _moment(cell, column)
        case "category":
            return text_of(cell, column)
        case "boolean":
            return {"false": False, "true": True}.get(text_of(cell, column) or "")
        case "integer":
            return _integer(text_of(cell, column))


def _integer(text: str | None) -> int | None:
    try:
        number = int(text or "")
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def _moment(cell: Cell, column: Column) -> datetime | None:
    if cell is None:
        return None
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=UTC) if cell.tzinfo is None else cell.astimezone(UTC)
    if isinstance(cell, date):
        return datetime.combine(cell, time(), UTC)
    raise refused(cell, column)
