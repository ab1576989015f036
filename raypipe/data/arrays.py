"""Arrow columns as numpy arrays, by kind: what every statistic over a table starts from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raypipe.data.schema import ColumnKind

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_SAMPLE = 1000


def distinct_texts(column: pa.ChunkedArray) -> tuple[list[str], list[int], int]:
    """Return the distinct texts of a column, how often each occurs, and the number of nulls."""
    import polars as pl
    from pyarrow import types

    if types.is_dictionary(column.type):
        return _distinct_entries(column)
    series = _series(column).cast(pl.String)
    table = series.drop_nulls().value_counts(name="n")
    return table[series.name].to_list(), table["n"].to_list(), series.null_count()


def common_divisor(values: npt.NDArray[np.int64]) -> int:
    """Return the largest integer that divides all values; 0 where none differs from 0."""
    divisor = 0
    others = values[values != 0]
    while len(others):
        divisor = int(np.gcd.reduce(others[:_SAMPLE], initial=divisor))
        others = others[others // divisor * divisor != others] if divisor > 1 else others[:0]
    return divisor


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


def _distinct_entries(column: pa.ChunkedArray) -> tuple[list[str], list[int], int]:
    """Count the texts of a dictionary by its indices, so that no row's text is looked at."""
    n_each: Counter[str] = Counter()
    for chunk in column.chunks:
        places = chunk.indices.drop_null().to_numpy(zero_copy_only=False)
        counts = np.bincount(places, minlength=len(chunk.dictionary)).tolist()
        for text, count in zip(chunk.dictionary.to_pylist(), counts, strict=True):
            if count and text is not None:
                n_each[text] += count
    return list(n_each), list(n_each.values()), len(column) - n_each.total()
