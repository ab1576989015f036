"""What must be read off several columns at once: values of crosses, and labels by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.target import Target, TargetSums

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from raypipe.data.split import Places
    from raypipe.processing.out_of_fold import Folds


@dataclass(frozen=True)
class Crossed:
    """Columns to be taken together, as one column of joined texts."""

    columns: tuple[Column, ...]
    column: Column


@dataclass(frozen=True)
class JointPlan:
    """What is to be read."""

    crosses: tuple[Crossed, ...] = ()
    targets: tuple[Column | Crossed, ...] = ()
    """What is encoded by the label."""

    @property
    def is_empty(self) -> bool:
        return not self.crosses and not self.targets


@dataclass(frozen=True)
class Joint:
    """The statistics of some training rows; those of all are the same for any split and any order."""

    crosses: Mapping[str, ColumnProfile] = field(default_factory=dict)
    targets: Mapping[str, TargetSums] = field(default_factory=dict)

    @classmethod
    def of(
        cls, rows: pa.Table, plan: JointPlan, target: Target, folds: Folds, start: int | Places = 0
    ) -> Joint:
        """Read training rows; `start` is the place of the first among them all, or says that of each."""
        by_row = folds.of(start, rows.num_rows)
        return cls(
            {
                crossed.column.name: ColumnProfile.of(crossed.column, _arrow(_texts(rows, crossed)))
                for crossed in plan.crosses
            },
            {name_of(one): TargetSums.of(_texts(rows, one), target, by_row, folds.n) for one in plan.targets},
        )

    def merge(self, other: Joint) -> Joint:
        """Return the statistics of both sets of rows together."""
        return Joint(
            {name: found.merge(other.crosses[name]) for name, found in self.crosses.items()},
            {name: found.merge(other.targets[name]) for name, found in self.targets.items()},
        )


def name_of(one: Column | Crossed) -> str:
    """Return the name of a column or of a cross."""
    return one.column.name if isinstance(one, Crossed) else one.name


def _texts(rows: pa.Table, one: Column | Crossed) -> pl.Series:
    from raypipe.processing.columns import crossed_texts, texts_of

    return crossed_texts(rows, one.columns) if isinstance(one, Crossed) else texts_of(rows, one)


def _arrow(texts: pl.Series) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([texts.to_arrow()])
