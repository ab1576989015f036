"""Single values of a row as numbers, texts and moments: without polars or pyarrow."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import NamedTuple, TypeAlias, cast

import numpy as np

from raypipe.core.errors import SchemaError
from raypipe.data.schema import Column
from raypipe.processing.calendar import DAYS_BEFORE

Cell: TypeAlias = object
"""A value of a row before it is known to be of its column's kind."""
NO_WORD = "\x00"
"""The text of a number that no integer column can hold: 1.5, infinity, 1e300."""
_BOOLEANS = {0: "false", 1: "true"}


class Moment(NamedTuple):
    """The positions that `raypipe.processing.calendar` knows; -1, the last line, where missing."""

    clock: int = -1
    weekday: int = -1
    yearday: int = -1
    year: int | None = None


NO_MOMENT = Moment()


def number_of(cell: Cell, column: Column) -> float | None:
    """Return a cell as a number; raises SchemaError for what is none."""
    if cell is None:
        return None
    if isinstance(cell, Real | Decimal | np.bool_):
        return nearest_float(cell)
    raise refused(cell, column)


def nearest_float(cell: Cell) -> float:
    """Return the nearest float64 of a number or none; an integer beyond its range becomes infinite."""
    if cell is None:
        return math.nan
    try:
        return float(cast(float, cell))
    except OverflowError:
        return math.inf if cast(int, cell) > 0 else -math.inf


def text_of(cell: Cell, column: Column) -> str | None:
    """Return a cell of a category as the text that it counts as; raises SchemaError for another kind."""
    if cell is None or (isinstance(cell, Real) and math.isnan(cell)):
        return None
    if column.kind != "category":
        return _text_of_number(cell, column)
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool | np.bool_):
        return "true" if cell else "false"
    if isinstance(cell, Integral):
        return str(int(cell))
    raise refused(cell, column)


def _text_of_number(cell: Cell, column: Column) -> str:
    if not isinstance(cell, Real | np.bool_):
        raise refused(cell, column)
    number = _whole(cell)
    if number is None:
        return NO_WORD
    return _BOOLEANS.get(number, NO_WORD) if column.kind == "boolean" else str(number)


def _whole(cell: Real | np.bool_) -> int | None:
    if isinstance(cell, Integral | np.bool_):
        return int(cell)
    number = float(cell)
    return int(number) if -(2.0**63) <= number < 2.0**63 and number.is_integer() else None


def moment_of(cell: Cell, column: Column) -> Moment:
    """Return the positions of a moment in UTC; raises SchemaError for what is none."""
    if cell is None:
        return NO_MOMENT
    if isinstance(cell, datetime):
        try:
            utc = cell if cell.tzinfo is None else cell.astimezone(UTC)
        except OverflowError:
            raise refused(cell, column) from None
        return Moment(utc.hour * 60 + utc.minute, utc.weekday(), _yearday(utc), utc.year)
    if isinstance(cell, date):
        return Moment(0, cell.weekday(), _yearday(cell), cell.year)
    raise refused(cell, column)


def _yearday(day: date) -> int:
    return DAYS_BEFORE[day.month - 1] + day.day - 1


def refused(cell: Cell, column: Column) -> SchemaError:
    """Return the error that a cell is not of its column's kind."""
    return SchemaError(f"Column {column.name!r} must hold a value of kind {column.kind}. Got {cell!r:.100}.")
