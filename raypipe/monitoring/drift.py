"""Drift: how the values of each input differ from those of the training rows.

The two measures are those of `raypipe.stats.shift`: the population stability index, missing values being a
bin too, and the Kolmogorov-Smirnov distance over the values that there are.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from operator import add
from typing import TYPE_CHECKING, assert_never

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.data.schema import Column
from raypipe.monitoring.reference import (
    CategoryBins,
    NumberBins,
    PresenceBins,
    Reference,
    ReferenceColumn,
)
from raypipe.monitoring.report import FeatureDrift
from raypipe.stats.shift import MIN_SHARE, ks, psi

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

__all__ = ["MIN_SHARE", "Counts", "FeatureDrift", "counts", "drift", "effect", "ks", "psi"]


@dataclass(frozen=True)
class Counts:
    """How many rows fell into each bin of each column of a reference; counts of parts add up."""

    columns: tuple[tuple[int, ...], ...]

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both together; raises SchemaError for counts by another reference."""
        if [len(one) for one in self.columns] != [len(one) for one in other.columns]:
            raise SchemaError("Counts to add must be by one reference. Got counts of other bins.")
        pairs = zip(self.columns, other.columns, strict=True)
        return Counts(tuple(tuple(map(add, x, y)) for x, y in pairs))

    @property
    def n_rows(self) -> int:
        return sum(self.columns[0]) if self.columns else 0

    def to_json(self) -> Json:
        return [list(one) for one in self.columns]

    @classmethod
    def from_json(cls, value: Json) -> Counts:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case [*columns]:
                return cls(tuple(_counts_of(one) for one in columns))
            case _:
                raise SchemaError(f"Counts must be a list of lists. Got {value!r:.200}.")


def _counts_of(value: Json) -> tuple[int, ...]:
    found = [one for one in value if type(one) is int and one >= 0] if isinstance(value, list) else None
    if found is None or found != value:
        raise SchemaError(f"Counts of a column must be a list of integers from 0 on. Got {value!r:.200}.")
    return tuple(found)


def counts(reference: Reference, table: pa.Table) -> Counts:
    """Count a table's rows by the bins of a reference; a column that is not there is missing in each row."""
    return Counts(tuple(_column_counts(one, table) for one in reference.columns))


def drift(
    reference: Reference, counted: Counts, drifted: Container[str] = frozenset()
) -> tuple[FeatureDrift, ...]:
    """Return how far each column has moved; which ones have drifted is known from elsewhere."""
    pairs = zip(reference.columns, counted.columns, strict=True)
    return tuple(
        replace(effect(one, live), drifted=one.column.name in drifted and sum(live) > 0)
        for one, live in pairs
    )


def effect(one: ReferenceColumn, live: tuple[int, ...]) -> FeatureDrift:
    """Return how far the counts of a column lie from the reference's; whether that is drift is not said."""
    n_rows = sum(live)
    is_ordered = isinstance(one.bins, NumberBins)
    return FeatureDrift(
        column=one.column.name,
        psi=psi(live, one.counts),
        ks=ks(live[:-1], one.counts[:-1]) if is_ordered else None,
        n_rows=n_rows,
        missing_ratio=live[-1] / n_rows if n_rows else 0.0,
        unseen_ratio=sum(live[i] for i in one.bins.unseen) / n_rows if n_rows else 0.0,
        drifted=False,
    )


def places(one: ReferenceColumn, table: pa.Table) -> Places:
    """Return the bin of each row of a table, shape (n_rows,); the last is for missing values."""
    import numpy as np

    if one.column.name not in table.column_names:
        return np.full(table.num_rows, one.bins.n)
    column = table[one.column.name]
    match one.bins:
        case NumberBins():
            return _number_places(one.bins, one.column, column)
        case CategoryBins():
            return _text_places(one.bins, column)
        case PresenceBins():
            return _presence_places(one.column, column)
        case _:
            assert_never(one.bins)


def counts_by_window(reference: Reference, table: pa.Table, window: Places) -> tuple[Places, ...]:
    """Count a table's rows by window and bin, for each column: shape (n_windows, n_bins).

    `window` numbers the window of each row from 0 on, shape (n_rows,).
    """
    import numpy as np

    n_windows = int(window.max()) + 1 if len(window) else 0
    found = []
    for one in reference.columns:
        width = one.bins.n + 1
        counted = np.bincount(places(one, table) + width * window, minlength=width * n_windows)
        found.append(counted.reshape(n_windows, width))
    return tuple(found)


def _column_counts(one: ReferenceColumn, table: pa.Table) -> tuple[int, ...]:
    import numpy as np

    return tuple(np.bincount(places(one, table), minlength=one.bins.n + 1).tolist())


def _number_places(bins: NumberBins, column: Column, values: pa.ChunkedArray) -> Places:
    import numpy as np

    numbers = _numbers(column, values)
    at = np.ones(len(numbers), np.int64)
    for edge in bins.edges:  # Of few edges, faster than a search for each value.
        at += numbers > edge
    at[numbers < bins.minimum] = 0
    at[~np.isfinite(numbers)] = bins.n
    return at


def _numbers(column: Column, values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return values as numbers, NaN for null."""
    import numpy as np
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    from raypipe.data.arrays import as_numbers

    if values.type in (pa.float64(), pa.int64()):
        return np.asarray(pc.fill_null(values.cast(pa.float64(), safe=False), np.nan).to_numpy())
    return as_numbers(values, column.kind).cast(pl.Float64).fill_null(np.nan).to_numpy()


def _text_places(bins: CategoryBins, values: pa.ChunkedArray) -> Places:
    import numpy as np
    import pyarrow as pa

    known = {text: i for i, text in enumerate(bins.own)}
    known |= dict.fromkeys(bins.others or (), len(bins.own))
    coded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    of_text = [known.get(text, bins.n - 1) for text in coded.dictionary.to_pylist()]
    at = coded.indices.fill_null(len(of_text)).to_numpy(zero_copy_only=False)
    return np.asarray(np.array([*of_text, bins.n])[at], np.int64)


def _presence_places(column: Column, values: pa.ChunkedArray) -> Places:
    import numpy as np

    from raypipe.data.arrays import as_numbers

    if column.kind == "timestamp":
        present = values.is_valid().to_numpy()
    else:
        series = as_numbers(values, column.kind)
        present = ~series.is_null().to_numpy() & np.isfinite(series.fill_null(0).to_numpy())
    return np.where(present, 0, 1).astype(np.int64)
