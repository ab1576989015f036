"""What is in a table, column by column: mergeable without changing a bit.

Every part of a profile is a function of the values alone, not of the blocks they came in (see
`raypipe.stats.exact`, `histogram` and `counts`). So profiles of blocks, of files or of days add up to the
profile of all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.data.schema import Column, column_of
from raypipe.stats.counts import ValueCounts
from raypipe.stats.exact import ExactMoments
from raypipe.stats.histogram import QuantileSketch

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
MEASURED_BOUND = 4096
"""Distinct values counted exactly for numbers and timestamps, whose single values matter little."""
CODED_BOUND = 50_000
"""Distinct values counted exactly for text, integers and booleans, which may become categories."""
_SUMMARY_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
_N_TOP = 10


@dataclass(frozen=True)
class ColumnProfile:
    """What is in one column.

    Numbers, integers, booleans (as 0 and 1) and timestamps (as microseconds since 1970 in UTC) have moments
    and quantiles; these see an integer beyond 2**53 as the nearest float64, while `values` counts it
    exactly.
    """

    column: Column
    n_rows: int
    n_nulls: int
    moments: ExactMoments
    quantiles: QuantileSketch
    values: ValueCounts
    step: int = 0
    """The largest number of microseconds that divides all timestamps; 0 for other kinds."""

    @classmethod
    def of(cls, column: Column, array: pa.ChunkedArray) -> ColumnProfile:
        """Profile the values of a column."""
        from raypipe.data import arrays

        if column.kind == "category":
            texts, counts, n_nulls = arrays.distinct_texts(array)
            values = ValueCounts.of_texts(texts, counts, CODED_BOUND)
            return cls(column, len(array), n_nulls, ExactMoments(), QuantileSketch(), values)
        found = arrays.distinct_numbers(array, column.kind)
        numbers = found.values.astype(np.float64)
        return cls(
            column,
            len(array),
            found.n_nulls,
            ExactMoments.of(numbers, found.counts).merge(ExactMoments.of(found.not_finite)),
            QuantileSketch.of(numbers, found.counts),
            ValueCounts.of_numbers(found.values, found.counts, _bound(column)),
            int(np.gcd.reduce(found.values)) if column.kind == "timestamp" and len(found.values) else 0,
        )

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def n_nan(self) -> int:
        return self.moments.n_nan

    @property
    def n_infinite(self) -> int:
        return self.moments.n_infinite

    @property
    def n_missing(self) -> int:
        """Nulls and NaN."""
        return self.n_nulls + self.n_nan

    @property
    def min(self) -> float | None:
        """The smallest finite value; none for text or without values."""
        return self.quantiles.min

    @property
    def max(self) -> float | None:
        """The largest finite value; none for text or without values."""
        return self.quantiles.max

    @property
    def mean(self) -> float | None:
        """The mean of the finite values, exact but for one rounding."""
        return self.moments.mean

    @property
    def variance(self) -> float | None:
        """The variance of the finite values (divided by n), exact but for one rounding."""
        return self.moments.variance

    @property
    def n_distinct(self) -> int:
        """Distinct finite values; an estimate where `values.is_exact` is false."""
        n_finite = self.moments.n if self.column.kind != "category" else self.n_rows - self.n_nulls
        return min(self.values.n_distinct, n_finite)

    def quantile(self, q: float) -> float | None:
        """Return a quantile of the finite values, to the resolution of `raypipe.stats.histogram`."""
        return self.quantiles.quantile(q)

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """Return the profile of both columns, one after the other; raises SchemaError for another column."""
        if (self.name, self.column.kind) != (other.name, other.column.kind):
            raise SchemaError(
                f"Profiles to merge must be of one column. Got {self.name!r} ({self.column.kind}) "
                f"and {other.name!r} ({other.column.kind})."
            )
        return ColumnProfile(
            replace(self.column, nullable=self.column.nullable or other.column.nullable),
            self.n_rows + other.n_rows,
            self.n_nulls + other.n_nulls,
            self.moments.merge(other.moments),
            self.quantiles.merge(other.quantiles),
            self.values.merge(other.values),
            math.gcd(self.step, other.step),
        )

    def summary(self) -> dict[str, Json]:
        """Return what a person reads: shares, moments, quantiles, frequent values."""
        numbers: dict[str, Json] = {
            "min": _plain(self.min),
            "max": _plain(self.max),
            "mean": _plain(self.mean),
            "std": _plain(None if self.variance is None else math.sqrt(self.variance)),
            "quantiles": {f"{q:g}": _plain(self.quantile(q)) for q in _SUMMARY_QUANTILES},
        }
        return {
            "n_rows": self.n_rows,
            "n_nulls": self.n_nulls,
            "n_nan": self.n_nan,
            "n_infinite": self.n_infinite,
            "n_distinct": self.n_distinct,
            "n_distinct_exact": self.values.is_exact,
            **(numbers if self.moments.n else {}),
            "top": [[value, count] for value, count in self.values.top(_N_TOP)],
        }

    def to_json(self) -> dict[str, Json]:
        """Write a readable summary beside the state from which merging goes on."""
        return {
            "column": self.column.to_json(),
            "summary": self.summary(),
            "n_rows": self.n_rows,
            "n_nulls": self.n_nulls,
            "moments": self.moments.to_json(),
            "quantiles": self.quantiles.to_json(),
            "values": self.values.to_json(),
            "step": self.step,
        }

    @classmethod
    def from_json(cls, value: Json) -> ColumnProfile:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {
                "column": column,
                "n_rows": int(n_rows),
                "n_nulls": int(n_nulls),
                "moments": moments,
                "quantiles": quantiles,
                "values": values,
                "step": int(step),
            }:
                return cls(
                    Column.from_json(column),
                    n_rows,
                    n_nulls,
                    ExactMoments.from_json(moments),
                    QuantileSketch.from_json(quantiles),
                    ValueCounts.from_json(values),
                    step,
                )
            case _:
                raise SchemaError(f"A column's profile must have counts and statistics. Got {value!r:.200}.")


@dataclass(frozen=True)
class Profile:
    """What is in a table."""

    n_rows: int
    columns: tuple[ColumnProfile, ...]

    @classmethod
    def of_table(cls, table: pa.Table, columns: Sequence[str] | None = None) -> Profile:
        """Profile all columns, or the named ones; raises SchemaError for a type without a kind."""
        names = table.column_names if columns is None else columns
        fields = [table.schema.field(name) for name in names]
        described = [column_of(field) for field in fields]
        return cls(
            table.num_rows,
            tuple(ColumnProfile.of(column, table.column(column.name)) for column in described),
        )

    def __getitem__(self, name: str) -> ColumnProfile:
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"The profile has no column {name!r}. It has {list(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def merge(self, other: Profile) -> Profile:
        """Return the profile of both tables together; raises SchemaError for other columns."""
        if self.names != other.names:
            found = f"{list(self.names)} and {list(other.names)}"
            raise SchemaError(f"Profiles to merge must have the same columns. Got {found}.")
        pairs = zip(self.columns, other.columns, strict=True)
        return Profile(self.n_rows + other.n_rows, tuple(a.merge(b) for a, b in pairs))

    def to_json(self) -> dict[str, Json]:
        return {
            "format": FORMAT,
            "n_rows": self.n_rows,
            "columns": [column.to_json() for column in self.columns],
        }

    @classmethod
    def from_json(cls, value: Json) -> Profile:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"format": int(found), "n_rows": int(n_rows), "columns": [*columns]} if found == FORMAT:
                return cls(n_rows, tuple(ColumnProfile.from_json(column) for column in columns))
            case _:
                raise SchemaError(f"A profile must be JSON of format {FORMAT}. Got {value!r:.200}.")


def _bound(column: Column) -> int:
    return MEASURED_BOUND if column.kind in ("number", "timestamp") else CODED_BOUND


def _plain(number: float | None) -> float | None:
    """Return a number that JSON can hold."""
    return number if number is not None and math.isfinite(number) else None
