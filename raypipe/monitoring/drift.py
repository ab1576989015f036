"""Drift: how the values of each input differ from those of the training rows.

The two measures are those of `raypipe.stats.shift`: the population stability index, missing values being a
bin too, and the Kolmogorov-Smirnov distance over the values that there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.data.schema import Column
from raypipe.monitoring.config import MonitoringSettings
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
    import pyarrow as pa

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
        return Counts(tuple(tuple(a + b for a, b in zip(x, y, strict=True)) for x, y in pairs))

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


def drift(reference: Reference, counted: Counts, settings: MonitoringSettings) -> tuple[FeatureDrift, ...]:
    """Return how far each column has moved; it has drifted from `drift.psi` on, given `min_rows` rows."""
    pairs = zip(reference.columns, counted.columns, strict=True)
    return tuple(_feature(one, live, settings) for one, live in pairs)


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


def _feature(one: ReferenceColumn, live: tuple[int, ...], settings: MonitoringSettings) -> FeatureDrift:
    found = effect(one, live)
    is_far = found.psi is not None and found.psi >= settings.drift.psi
    return replace(found, drifted=is_far and found.n_rows >= settings.min_rows)


def _column_counts(one: ReferenceColumn, table: pa.Table) -> tuple[int, ...]:
    if one.column.name not in table.column_names:
        return (*[0] * one.bins.n, table.num_rows)
    column = table[one.column.name]
    match one.bins:
        case NumberBins():
            found = _count_numbers(one.bins, one.column, column)
        case CategoryBins():
            found = _count_texts(one.bins, column)
        case PresenceBins():
            found = _count_present(one.column, column)
        case _:
            assert_never(one.bins)
    return (*found, table.num_rows - sum(found))


def _count_numbers(bins: NumberBins, column: Column, values: pa.ChunkedArray) -> list[int]:
    import numpy as np

    from raypipe.data.arrays import as_numbers

    numbers = as_numbers(values, column.kind).drop_nulls().to_numpy().astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    at = np.searchsorted(bins.edges, finite, side="left") + 1
    at[finite < bins.minimum] = 0
    return [int(n) for n in np.bincount(at, minlength=bins.n)]


def _count_texts(bins: CategoryBins, values: pa.ChunkedArray) -> list[int]:
    from raypipe.data.arrays import distinct_texts

    places = {text: i for i, text in enumerate(bins.own)}
    places |= dict.fromkeys(bins.others or (), len(bins.own))
    found = [0] * bins.n
    texts, n_each, _ = distinct_texts(values)
    for text, n in zip(texts, n_each, strict=True):
        found[places.get(text, bins.n - 1)] += n
    return found


def _count_present(column: Column, values: pa.ChunkedArray) -> list[int]:
    import numpy as np

    from raypipe.data.arrays import as_numbers

    if column.kind == "timestamp":
        return [len(values) - values.null_count]
    numbers = as_numbers(values, column.kind).drop_nulls().to_numpy()
    return [int(np.isfinite(numbers).sum())]
