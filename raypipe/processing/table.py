"""Fitted steps over an Arrow table, by polars expressions: training and batch prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np
import polars as pl
import pyarrow as pa

from raypipe.core.errors import SchemaError
from raypipe.data.schema import Column, ColumnKind, kind_of
from raypipe.processing.calendar import DAYS_BEFORE, Position
from raypipe.processing.steps import (
    FLOAT32_MAX,
    FittedCategory,
    FittedDate,
    FittedNumber,
    FittedStep,
    Float32Matrix,
)

_ACCEPTED: dict[ColumnKind, tuple[ColumnKind, ...]] = {
    "number": ("number", "integer", "boolean"),
    "integer": ("integer", "number", "boolean"),
    "boolean": ("boolean", "integer", "number"),
    "category": ("category", "integer", "boolean"),
    "timestamp": ("timestamp",),
}
"""Which kinds of a table's column stand for a column of the data version."""
_BLOCK_ROWS = 4096


@dataclass
class _Plan:
    """Expressions to evaluate, and where their results go: to one feature, or by a lookup to several."""

    expressions: list[pl.Expr] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    lookups: list[tuple[slice, Float32Matrix]] = field(default_factory=list)

    def add_feature(self, expression: pl.Expr, at: int) -> int:
        """Add a feature at a place and return the next place."""
        self.features.append(at)
        self.expressions.append(expression.cast(pl.Float32).alias(f"feature {at}"))
        return at + 1

    def add_lookup(self, codes: pl.Expr, table: Float32Matrix, at: int) -> int:
        """Add features that rows of a table give by code, and return the next place."""
        end: int = at + table.shape[1]
        self.lookups.append((slice(at, end), table))
        self.expressions.append(codes.cast(pl.Int32).alias(f"codes {at}"))
        return end


def encode_table(steps: Sequence[FittedStep], table: pa.Table) -> Float32Matrix:
    """Return the features of all rows; raises SchemaError for a column that is absent or of another kind."""
    plan, at = _Plan(), 0
    for step in steps:
        kind = _kind_in(table, step.column)
        match step:
            case FittedNumber():
                at = _plan_number(plan, step, at)
            case FittedCategory():
                at = plan.add_lookup(_category_codes(step, kind), step.table, at)
            case FittedDate():
                at = _plan_date(plan, step, at)
            case _:
                assert_never(step)
    return _carried_out(plan, _frame(steps, table), at)


def _carried_out(plan: _Plan, frame: pl.LazyFrame, n_features: int) -> Float32Matrix:
    made = frame.select(pl.len().alias("n"), *plan.expressions).collect()
    out = np.empty((made.height, n_features), np.float32)
    features = [(at, made[f"feature {at}"].to_numpy()) for at in plan.features]
    codes = [(place, table, made[f"codes {place.start}"].to_numpy()) for place, table in plan.lookups]
    # Writing a column jumps from row to row: in blocks the rows stay in the processor's cache meanwhile.
    for start in range(0, made.height, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        for at, values in features:
            out[block, at] = values[block]
        for place, table, rows in codes:
            out[block, place] = table[rows[block]]
    return out


def _frame(steps: Sequence[FittedStep], table: pa.Table) -> pl.LazyFrame:
    names = [step.column.name for step in steps]
    present = [name for name in names if name in table.column_names]
    frame = pl.from_arrow(table.select(present))
    assert isinstance(frame, pl.DataFrame)
    absent = [pl.lit(None, pl.Null).alias(name) for name in names if name not in present]
    return frame.lazy().with_columns(absent)


def _kind_in(table: pa.Table, column: Column) -> ColumnKind:
    """Return the kind that a column has in the table; a column that may be missing may be left out."""
    if column.name not in table.column_names:
        if column.nullable:
            return column.kind
        raise SchemaError(f"Column {column.name!r} must be in the table. It has {table.column_names}.")
    type = table.schema.field(column.name).type
    if pa.types.is_null(type):
        return column.kind
    kind = kind_of(type)
    if kind not in _ACCEPTED[column.kind]:
        raise SchemaError(f"Column {column.name!r} must be of kind {column.kind}. Got {kind} ({type}).")
    return kind


def _plan_number(plan: _Plan, step: FittedNumber, at: int) -> int:
    x = pl.col(step.column.name).cast(pl.Float64)
    missing = x.is_null() | x.is_nan()
    finite = (
        pl.when(missing)
        .then(pl.lit(step.fill))
        .when(x == math.inf)
        .then(pl.lit(step.high))
        .when(x == -math.inf)
        .then(pl.lit(step.low))
        .otherwise(x)
    )
    scaled = (finite - pl.lit(step.centre)) * pl.lit(step.reciprocal)
    at = plan.add_feature(scaled.clip(-FLOAT32_MAX, FLOAT32_MAX), at)
    return plan.add_feature(missing.fill_null(True), at) if step.indicator else at


def _category_codes(step: FittedCategory, kind: ColumnKind) -> pl.Expr:
    x = pl.col(step.column.name)
    missing, texts = x.is_null(), x
    if kind == "number":
        x = x.cast(pl.Float64)
        missing = x.is_null() | x.is_nan()
        texts = pl.when(x == x.floor()).then(x.cast(pl.Int128, strict=False))
    elif kind == "boolean" and step.column.kind != "category":
        texts = x.cast(pl.Int8)
    keys = [_KEYS.get(text, text) if step.column.kind == "boolean" else text for text in step.vocabulary]
    codes = texts.cast(pl.String).replace_strict(
        keys, list(range(len(keys))), default=step.unseen_code, return_dtype=pl.Int32
    )
    return pl.when(missing).then(pl.lit(step.missing_code)).otherwise(codes)


_KEYS = {"false": "0", "true": "1"}


def _plan_date(plan: _Plan, step: FittedDate, at: int) -> int:
    # The cast takes dates and timestamps of any unit and zone to microseconds in UTC, floored.
    x = pl.col(step.column.name).cast(pl.Datetime("us"))
    for position, table in step.tables:
        at = plan.add_lookup(_POSITIONS[position](x).fill_null(-1), table, at)
    if step.years is not None:
        centre, reciprocal = step.year_scale
        year = (x.dt.year().cast(pl.Float64) - pl.lit(centre)) * pl.lit(reciprocal)
        at = plan.add_feature(year.fill_null(0.0), at)
    return plan.add_feature(x.is_null(), at) if step.missing else at


_POSITIONS: dict[Position, Callable[[pl.Expr], pl.Expr]] = {
    "clock": lambda x: x.dt.hour().cast(pl.Int32) * 60 + x.dt.minute().cast(pl.Int32),
    "weekday": lambda x: x.dt.weekday().cast(pl.Int32) - 1,
    "yearday": lambda x: (
        x.dt.month().cast(pl.Int32).replace_strict(list(range(1, 13)), DAYS_BEFORE, return_dtype=pl.Int32)
        + x.dt.day().cast(pl.Int32)
        - 1
    ),
}
"""How polars finds the positions that `raypipe.processing.calendar` gives features for."""
