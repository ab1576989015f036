"""Arrow columns as numpy arrays, by kind: what every statistic over a table starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raypipe.data.schema import ColumnKind

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Array = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Distinct:
    """The distinct values of a column in increasing order, how often each occurs, and what is not a value."""

    values: Array
    """Finite numbers, integers, booleans as 0 and 1, or microseconds since 1970 in UTC."""
    counts: npt.NDArray[np.int64]
    n_nulls: int
    not_finite: npt.NDArray[np.float64]
    """NaN and infinities, one by one."""


def distinct_numbers(column: pa.ChunkedArray, kind: ColumnKind) -> Distinct:
    """Return the distinct values of a column of any kind but category."""
    series = as_numbers(column, kind)
    values = series.drop_nulls().to_numpy()
    finite = np.isfinite(values) if kind == "number" else np.ones(len(values), np.bool_)
    not_finite = values[~finite].astype(np.float64)
    # -0.0 and 0.0 are one value, of which the second is kept.
    kept = values[finite] + 0.0 if kind == "number" else values
    return Distinct(*_run_lengths(kept), series.null_count(), not_finite)


def distinct_texts(column: pa.ChunkedArray) -> tuple[list[str], list[int], int]:
    """Return the distinct texts of a column, how often each occurs, and the number of nulls."""
    import polars as pl

    series = _series(column).cast(pl.String)
    table = series.drop_nulls().value_counts(name="n")
    return table[series.name].to_list(), table["n"].to_list(), series.null_count()


def as_numbers(column: pa.ChunkedArray, kind: ColumnKind) -> pl.Series:
    """Return float64 for numbers, 64-bit integers otherwise; timestamps as microseconds in UTC, floored."""
    import polars as pl

    series = _series(column)
    if kind == "number":
        return series.cast(pl.Float64)
    if kind == "timestamp":
        # The cast takes dates and timestamps of any unit and zone to UTC; those without a zone count as UTC.
        return series.cast(pl.Datetime("us")).to_physical()
    return series if series.dtype == pl.UInt64 else series.cast(pl.Int64)


def _series(column: pa.ChunkedArray) -> pl.Series:
    import polars as pl

    series = pl.from_arrow(column)
    assert isinstance(series, pl.Series)
    return series.alias("value")


def _run_lengths(values: Array) -> tuple[Array, npt.NDArray[np.int64]]:
    import polars as pl

    if not len(values):
        return values, np.zeros(0, np.int64)
    # polars sorts a million numbers in a third of numpy's time.
    ordered = pl.Series(values).sort().to_numpy()
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[starts], np.diff(starts, append=len(ordered))
