"""What a version was trained on, as bins: frozen at training, counted again on live rows.

Numbers, integers and booleans have up to ten bins of about equally many training rows, and one bin each
below and above their range. Text has a bin for each of the most frequent categories, one for the other known
ones, and one for those that no training row had. Timestamps move on by themselves, so only whether there is
one is counted. The last bin of every column counts its missing values: null, NaN and infinity.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, assert_never

from raypipe.core.errors import ArtifactError, RaypipeError
from raypipe.core.files import LOCAL_DISK, Disk, write_json
from raypipe.core.ids import Json
from raypipe.data.schema import Column

if TYPE_CHECKING:
    from raypipe.data.profile import ColumnProfile, Profile
    from raypipe.stats.histogram import QuantileSketch

REFERENCE_NAME = "reference.json"
FORMAT = 1
N_NUMBER_BINS = 10
"""Deciles, for which the customary bounds of the population stability index are meant."""
N_CATEGORY_BINS = 15
MAX_KNOWN_CATEGORIES = 1_000
"""Of text with more distinct values, one that is rare cannot be told from one never seen."""
_LAST_BELOW_ZERO = -5e-324


@dataclass(frozen=True)
class NumberBins:
    """Bins below `minimum`, up to and including each of `edges` in turn, and above the last of them."""

    minimum: float
    edges: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.edges) + 2

    @property
    def unseen(self) -> tuple[int, ...]:
        return (0, self.n - 1)


@dataclass(frozen=True)
class CategoryBins:
    """A bin for each of `own`, one for `others`, and, where all categories are known, one for the rest."""

    own: tuple[str, ...]
    others: tuple[str, ...] | None
    """None where there are too many to keep: then whatever is not in `own` counts as one of them."""

    @property
    def n(self) -> int:
        return len(self.own) + (1 if self.others is None else 2)

    @property
    def unseen(self) -> tuple[int, ...]:
        return () if self.others is None else (self.n - 1,)


@dataclass(frozen=True)
class PresenceBins:
    """One bin for all values that there are."""

    n: int = 1
    unseen: tuple[int, ...] = ()


Bins: TypeAlias = NumberBins | CategoryBins | PresenceBins


@dataclass(frozen=True)
class ReferenceColumn:
    """One input's bins, and how many training rows each holds; the last count is of missing values."""

    column: Column
    bins: Bins
    counts: tuple[int, ...]

    @property
    def n_rows(self) -> int:
        return sum(self.counts)

    def to_json(self) -> dict[str, Json]:
        return {"column": self.column.to_json(), "bins": _bins_json(self.bins), "counts": list(self.counts)}

    @classmethod
    def from_json(cls, value: Json) -> ReferenceColumn:
        """Read what `to_json` wrote; raises ArtifactError for anything else."""
        match value:
            case {"column": column, "bins": bins, "counts": [*counts]}:
                read = cls(Column.from_json(column), _bins(bins), tuple(_integer(n) for n in counts))
            case _:
                raise ArtifactError(
                    f"A reference column must have a column, bins, counts. Got {value!r:.200}."
                )
        if len(read.counts) != read.bins.n + 1:
            found = f"{len(read.counts)} for {read.bins.n} bins of {read.column.name!r}"
            raise ArtifactError(f"There must be one count a bin and one for missing values. Got {found}.")
        return read


@dataclass(frozen=True)
class Reference:
    """The inputs of a version as its training rows had them."""

    columns: tuple[ReferenceColumn, ...]

    @classmethod
    def of(cls, profile: Profile, inputs: Sequence[Column]) -> Reference:
        """Freeze the bins of a version's inputs from the profile of its training rows."""
        return cls(tuple(_reference(profile[column.name], column) for column in inputs))

    @property
    def inputs(self) -> tuple[Column, ...]:
        return tuple(one.column for one in self.columns)

    def only(self, names: Collection[str]) -> Reference:
        """Return the reference of some columns; those that it has not are passed over."""
        return Reference(tuple(one for one in self.columns if one.column.name in names))

    def to_json(self) -> dict[str, Json]:
        return {"format": FORMAT, "columns": [one.to_json() for one in self.columns]}

    @classmethod
    def from_json(cls, value: Json) -> Reference:
        """Read what `to_json` wrote; raises ArtifactError for anything else."""
        match value:
            case {"format": int(found), "columns": [*columns]} if found == FORMAT:
                return cls(tuple(ReferenceColumn.from_json(one) for one in columns))
            case _:
                raise ArtifactError(f"A reference must be JSON of format {FORMAT}. Got {value!r:.200}.")


def write_reference(folder: Path, reference: Reference, disk: Disk = LOCAL_DISK) -> None:
    """Write a reference into the folder of a version about to be registered; raises StorageError."""
    write_json(folder / REFERENCE_NAME, reference.to_json(), disk)


def read_reference(folder: Path) -> Reference:
    """Read the reference of a version's folder; raises ArtifactError for a file that is none."""
    path = folder / REFERENCE_NAME
    try:
        return Reference.from_json(json.loads(path.read_bytes()))
    except (RaypipeError, OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as a reference ({error}); restore the folder.") from error


def _reference(profile: ColumnProfile, column: Column) -> ReferenceColumn:
    n_missing = profile.n_missing + profile.n_infinite
    n_present = profile.n_rows - n_missing
    if column.kind == "category":
        bins, counts = _categories(profile, n_present)
        return ReferenceColumn(column, bins, (*counts, n_missing))
    minimum, maximum = profile.min, profile.max
    if column.kind == "timestamp" or minimum is None or maximum is None:
        return ReferenceColumn(column, PresenceBins(), (n_present, n_missing))
    edges, in_range = _quantile_bins(profile.quantiles, maximum)
    return ReferenceColumn(column, NumberBins(minimum, edges), (0, *in_range, 0, n_missing))


def _quantile_bins(sketch: QuantileSketch, maximum: float) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the upper edges of bins of about equally many rows, and how many rows each holds, exactly.

    Edges are ends of the sketch's own buckets, so that no bucket is cut and no count estimated.
    """
    import numpy as np

    from raypipe.stats.histogram import quantile_places, values_of_keys

    up_to = np.cumsum(sketch.counts)
    chosen = quantile_places(sketch.counts, N_NUMBER_BINS)
    ends = values_of_keys(((np.array(sketch.buckets, np.int64)[chosen[:-1]] + 1) << sketch.shift) - 1)
    # A bucket that ends at -0.0 holds what is below zero; zeros are in the next one.
    edges = np.where((ends == 0) & np.signbit(ends), _LAST_BELOW_ZERO, ends)
    counts = np.diff(up_to[chosen], prepend=0)
    return (*edges.tolist(), maximum), tuple(counts.tolist())


def _categories(profile: ColumnProfile, n_present: int) -> tuple[CategoryBins, tuple[int, ...]]:
    values = profile.values
    top = values.top(N_CATEGORY_BINS)
    own = tuple(str(value) for value, _ in top)
    n_own = tuple(count for _, count in top)
    n_others = n_present - sum(n_own)
    if not values.is_exact or values.n_distinct > MAX_KNOWN_CATEGORIES:
        return CategoryBins(own, None), (*n_own, n_others)
    others = tuple(str(value) for value, _ in values.sorted_items() if value not in own)
    return CategoryBins(own, others), (*n_own, n_others, 0)


def _bins_json(bins: Bins) -> Json:
    match bins:
        case NumberBins():
            return {"minimum": bins.minimum, "edges": list(bins.edges)}
        case CategoryBins():
            return {"own": list(bins.own), "others": None if bins.others is None else list(bins.others)}
        case PresenceBins():
            return {}
        case _:
            assert_never(bins)


def _bins(value: Json) -> Bins:
    match value:
        case {"minimum": float() | int() as minimum, "edges": [*edges]}:
            return NumberBins(float(minimum), tuple(_float(edge) for edge in edges))
        case {"own": [*own], "others": None}:
            return CategoryBins(tuple(map(str, own)), None)
        case {"own": [*own], "others": [*others]}:
            return CategoryBins(tuple(map(str, own)), tuple(map(str, others)))
        case {**fields} if not fields:
            return PresenceBins()
        case _:
            raise ArtifactError(f"Bins must be of numbers, of categories, or empty. Got {value!r:.200}.")


def _integer(value: Json) -> int:
    if isinstance(value, int):
        return value
    raise ArtifactError(f"A count must be an integer. Got {value!r:.100}.")


def _float(value: Json) -> float:
    if isinstance(value, float | int):
        return float(value)
    raise ArtifactError(f"An edge must be a number. Got {value!r:.100}.")
