"""Arrow columns of moments as positions in the calendar; for single ones see `raypipe.processing.cells`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from raypipe.data.schema import Column
from raypipe.processing.calendar import DAYS_BEFORE, Position
from raypipe.processing.columns import kind_in, series_of

Codes = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]
Dates = npt.NDArray[np.datetime64]
_MINUTE_US, _DAY_US = 60_000_000, 86_400_000_000
_MANY_DAYS = 100_000
_LAST_LINE: dict[Position, int] = {"clock": 24 * 60, "weekday": 7, "yearday": 366}


@dataclass(frozen=True)
class Moments:
    """Days since 1970 and microseconds of the day, in UTC, of moments of which some may be missing."""

    days: Integers
    us: Integers
    missing: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, table: pa.Table, column: Column) -> Moments:
        """Read a column of a table; raises SchemaError for one that holds no moments."""
        n = table.num_rows
        if kind_in(table.schema, column) is None:
            return cls(np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n, np.bool_))
        # The cast takes dates and timestamps of any unit and zone to microseconds in UTC, floored.
        series = series_of(table, column).cast(pl.Datetime("us")).to_physical()
        us = series.fill_null(0).to_numpy()
        days = us // _DAY_US
        return cls(days, us - days * _DAY_US, series.is_null().to_numpy())

    def positions(self, position: Position) -> Codes:
        """Return where the moments lie in the calendar; the place after the last where missing."""
        match position:
            case "clock":
                found = (self.us // _MINUTE_US).astype(np.int32)
            case "weekday":
                found = ((self.days + 3) % 7).astype(np.int32)
            case "yearday":
                found = _by_day(self.days, _yeardays)
        return np.where(self.missing, np.int32(_LAST_LINE[position]), found)

    def years(self) -> Codes:
        """Return the years; any number where missing."""
        return _by_day(self.days, _years)


def _by_day(days: Integers, of: Callable[[Dates], Codes]) -> Codes:
    """Return what a function says of each day; it is asked once for each day between first and last."""
    if not len(days):
        return np.zeros(0, np.int32)
    first, last = int(days.min()), int(days.max())
    if last - first > _MANY_DAYS:
        distinct, places = np.unique(days, return_inverse=True)
        found: Codes = of(distinct.astype("datetime64[D]"))[places]
    else:
        found = of(np.arange(first, last + 1).astype("datetime64[D]"))[days - first]
    return found


def _yeardays(days: Dates) -> Codes:
    months = days.astype("datetime64[M]")
    day: Codes = (days - months.astype("datetime64[D]")).astype(np.int32)
    before = np.array(DAYS_BEFORE, np.int32)[months.astype(np.int64) % 12]
    found: Codes = before + day
    return found


def _years(days: Dates) -> Codes:
    return days.astype("datetime64[Y]").astype(np.int32) + np.int32(1970)
