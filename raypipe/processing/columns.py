"""Arrow columns as numbers and as texts: what `raypipe.processing.cells` makes of single values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from raypipe.core.errors import SchemaError
from raypipe.data.schema import Column, ColumnKind, kind_of
from raypipe.processing.cells import NO_WORD
from raypipe.processing.steps.cross import cross_text
from raypipe.processing.steps.lookup import MISSING

Floats = npt.NDArray[np.float64]

_ACCEPTED: dict[ColumnKind, tuple[ColumnKind, ...]] = {
    "number": ("number", "integer", "boolean"),
    "integer": ("integer", "number", "boolean"),
    "boolean": ("boolean", "integer", "number"),
    "category": ("category", "integer", "boolean"),
    "timestamp": ("timestamp",),
}
"""Which kinds of a table's column stand for a column of the data version."""


def kind_in(schema: pa.Schema, column: Column) -> ColumnKind | None:
    """Return the kind that a column has in a table, none where it is absent or has no value at all.

    Raises SchemaError where it is absent and may not be missing, or is of a kind that cannot stand for it.
    """
    if column.name not in schema.names:
        if column.nullable:
            return None
        raise SchemaError(f"Column {column.name!r} must be in the table. It has {schema.names}.")
    type = schema.field(column.name).type
    if pa.types.is_null(type):
        return None
    kind = kind_of(type)
    if kind not in _ACCEPTED[column.kind]:
        raise SchemaError(f"Column {column.name!r} must be of kind {column.kind}. Got {kind} ({type}).")
    return kind


def series_of(table: pa.Table, column: Column) -> pl.Series:
    """Return a column of a table as it is."""
    series = pl.from_arrow(table.column(column.name))
    assert isinstance(series, pl.Series)
    return series


def floats_of(table: pa.Table, column: Column) -> Floats:
    """Return a column as float64, NaN where it is missing."""
    if kind_in(table.schema, column) is None:
        return np.full(table.num_rows, np.nan)
    values = table.column(column.name)
    if pa.types.is_floating(values.type):
        # Three times as fast as by way of polars, where some are null.
        floats: Floats = values.to_numpy().astype(np.float64, copy=False)
        return floats
    return series_of(table, column).cast(pl.Float64).to_numpy()


def texts_of(table: pa.Table, column: Column) -> pl.Series:
    """Return a category as text, as `raypipe.processing.cells.text_of` does for a single value."""
    kind = kind_in(table.schema, column)
    if kind is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, table.num_rows)
    series = series_of(table, column)
    x = pl.col("x")
    if column.kind == "category":
        texts = x.cast(pl.String)
    else:
        whole = _whole(x, kind)
        if column.kind == "boolean":
            texts = pl.when(whole == 0).then(pl.lit("false")).when(whole == 1).then(pl.lit("true"))
        else:
            texts = whole.cast(pl.String)
        texts = pl.when(_missing(x, kind)).then(None).otherwise(texts.fill_null(NO_WORD))
    return series.alias("x").to_frame().select(texts.alias("x")).to_series()


def crossed_texts(table: pa.Table, columns: Sequence[Column]) -> pl.Series:
    """Return the values of each row in some columns as one text, as `cross_text` does for a single row."""
    texts = [texts_of(table, column).fill_null(MISSING).alias(str(i)) for i, column in enumerate(columns)]
    between = cross_text(["", ""])
    return pl.DataFrame(texts).select(pl.concat_str(pl.all(), separator=between).alias("x")).to_series()


def _missing(x: pl.Expr, kind: ColumnKind) -> pl.Expr:
    return x.is_null() | x.is_nan() if kind == "number" else x.is_null()


def _whole(x: pl.Expr, kind: ColumnKind) -> pl.Expr:
    """Return a number as a 64-bit integer, null where it is none."""
    if kind == "number":
        x = x.cast(pl.Float64)
        return pl.when(x == x.floor()).then(x.cast(pl.Int64, strict=False))
    return x.cast(pl.Int8) if kind == "boolean" else x
