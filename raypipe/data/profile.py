"""What is in a table, column by column: mergeable without changing a bit.

Every part of a profile is a function of the values alone, not of the blocks they came in (see
`raypipe.stats.exact`, `histogram` and `counts`). So profiles of blocks, of files or of days add up to the
profile of all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.data import arrays
from raypipe.data.schema import Column, column_of
from raypipe.stats.counts import ValueCounts
from raypipe.stats.exact import ExactMoments
from raypipe.stats.histogram import QuantileSketch

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
Part = Literal["quantiles", "values"]
"""What of a column's profile takes time and is not always wanted; all else is always there."""
ALL_PARTS: frozenset[Part] = frozenset(get_args(Part))
MEASURED_BOUND = 4096
"""Distinct values counted exactly for numbers and timestamps, whose single values matter little."""
CODED_BOUND = 50_000
"""Distinct values counted exactly for text, integers and booleans, which may become categories."""
_SUMMARY_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
_N_TOP = 10
Made = TypeVar("Made")
Merging = TypeVar("Merging", QuantileSketch, ValueCounts)


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
    sketch: QuantileSketch | None = None
    """What `quantiles` gives, where it was asked for."""
    counted: ValueCounts | None = None
    """What `values` gives, where it was asked for."""
    step: int = 0
    """The largest number of microseconds that divides all timestamps; 0 for other kinds."""

    @classmethod
    def of(cls, column: Column, array: pa.ChunkedArray, parts: Collection[Part] = ALL_PARTS) -> ColumnProfile:
        """Profile the values of a column: counts, moments and ends, and the named parts."""
        if column.kind == "category":
            return cls._of_texts(column, array, parts)
        series = arrays.as_numbers(array, column.kind)
        found = series.drop_nulls().to_numpy()
        numbers = found.astype(np.float64, copy=False)
        moments = ExactMoments.of(numbers)
        if moments.n < len(found):
            found = numbers = numbers[np.isfinite(numbers)]
        return cls(
            column,
            len(array),
            series.null_count(),
            moments,
            QuantileSketch.of(numbers) if "quantiles" in parts else None,
            ValueCounts.of_repeated(found, _bound(column)) if "values" in parts else None,
            arrays.common_divisor(found) if column.kind == "timestamp" else 0,
        )

    @classmethod
    def _of_texts(cls, column: Column, array: pa.ChunkedArray, parts: Collection[Part]) -> ColumnProfile:
        texts, counts, n_nulls = arrays.distinct_texts(array)
        return cls(
            column,
            len(array),
            n_nulls,
            ExactMoments(),
            QuantileSketch() if "quantiles" in parts else None,
            ValueCounts.of_texts(texts, counts, CODED_BOUND) if "values" in parts else None,
        )

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def quantiles(self) -> QuantileSketch:
        """The quantiles of the finite values; raises SchemaError where they were not asked for."""
        return _asked(self.sketch, self.name, "quantiles")

    @property
    def values(self) -> ValueCounts:
        """How often each finite value occurs; raises SchemaError where that was not asked for."""
        return _asked(self.counted, self.name, "values")

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
        return self.moments.min

    @property
    def max(self) -> float | None:
        """The largest finite value; none for text or without values."""
        return self.moments.max

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

    @property
    def is_constant(self) -> bool:
        """Whether every row holds one and the same value."""
        if self.column.kind == "category":
            return self.n_nulls == 0 and self.values.n_distinct == 1
        return self.moments.n == self.n_rows and self.min == self.max and self.min is not None

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
            _merged(self.sketch, other.sketch, self.name),
            _merged(self.counted, other.counted, self.name),
            math.gcd(self.step, other.step),
        )

    def summary(self) -> dict[str, Json]:
        """Return what a person reads: shares, moments, and what was asked for of quantiles and values."""
        found: dict[str, Json] = {
            "n_rows": self.n_rows,
            "n_nulls": self.n_nulls,
            "n_nan": self.n_nan,
            "n_infinite": self.n_infinite,
        }
        if self.counted is not None:
            found["n_distinct"] = self.n_distinct
            found["n_distinct_exact"] = self.counted.is_exact
        if self.moments.n:
            found |= {"min": _plain(self.min), "max": _plain(self.max), "mean": _plain(self.mean)}
            found["std"] = _plain(None if self.variance is None else math.sqrt(self.variance))
        if self.moments.n and self.sketch is not None:
            found["quantiles"] = {f"{q:g}": _plain(self.quantile(q)) for q in _SUMMARY_QUANTILES}
        if self.counted is not None:
            found["top"] = [[value, count] for value, count in self.counted.top(_N_TOP)]
        return found

    def to_json(self) -> dict[str, Json]:
        """Write a readable summary beside the state from which merging goes on."""
        return {
            "column": self.column.to_json(),
            "summary": self.summary(),
            "n_rows": self.n_rows,
            "n_nulls": self.n_nulls,
            "moments": self.moments.to_json(),
            "quantiles": None if self.sketch is None else self.sketch.to_json(),
            "values": None if self.counted is None else self.counted.to_json(),
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
                    None if quantiles is None else QuantileSketch.from_json(quantiles),
                    None if values is None else ValueCounts.from_json(values),
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
    def of_table(
        cls,
        table: pa.Table,
        columns: Sequence[str] | None = None,
        parts: Mapping[str, Collection[Part]] | None = None,
    ) -> Profile:
        """Profile all columns, or the named ones; raises SchemaError for a type without a kind.

        Of a column that `parts` names only those parts are made, of the others all.
        """
        names = table.column_names if columns is None else columns
        return cls.of_columns(table, [column_of(table.schema.field(name)) for name in names], parts)

    @classmethod
    def of_columns(
        cls,
        table: pa.Table,
        columns: Sequence[Column],
        parts: Mapping[str, Collection[Part]] | None = None,
    ) -> Profile:
        """Profile columns as being of the kinds given; of one that the table lacks all values are missing."""
        wanted = {} if parts is None else parts
        profiles = (
            ColumnProfile.of(column, _values(table, column), wanted.get(column.name, ALL_PARTS))
            for column in columns
        )
        return cls(table.num_rows, tuple(profiles))

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


def _values(table: pa.Table, column: Column) -> pa.ChunkedArray:
    if column.name in table.column_names:
        return table.column(column.name)
    import pyarrow as pa

    return pa.chunked_array([pa.nulls(table.num_rows)])


def _asked(part: Made | None, name: str, what: str) -> Made:
    if part is None:
        raise SchemaError(f"The profile of {name!r} was made without {what}; ask for them when making it.")
    return part


def _merged(one: Merging | None, other: Merging | None, name: str) -> Merging | None:
    if one is None and other is None:
        return None
    if one is None or other is None:
        raise SchemaError(f"Profiles to merge must have the same parts. Those of {name!r} have not.")
    return one.merge(other)


def _bound(column: Column) -> int:
    return MEASURED_BOUND if column.kind in ("number", "timestamp") else CODED_BOUND


def _plain(number: float | None) -> float | None:
    """Return a number that JSON can hold."""
    return number if number is not None and math.isfinite(number) else None
