"""What is different between two data versions: columns, rows, and how the values of each column moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.profiles import version_profile
from raypipe.data.row_differences import RowDifferences, row_differences
from raypipe.data.schema import Column
from raypipe.data.shifts import ColumnShift, shifts
from raypipe.data.versions import DataVersion

_NUMBERS = {"integer", "number"}


@dataclass(frozen=True)
class ColumnChange:
    """A column that one version lacks (None), or that is of another kind or nullable in the other."""

    column: str
    before: Column | None
    after: Column | None


@dataclass(frozen=True)
class VersionDiff:
    """From the version `before` to the version `after`."""

    before: str
    after: str
    columns: tuple[ColumnChange, ...]
    rows: RowDifferences
    shifts: tuple[ColumnShift, ...]

    def to_json(self) -> Json:
        return asdict(self)


def diff(
    folder: PipelineHome, before: DataVersion, after: DataVersion, *, key: Sequence[str] = ()
) -> VersionDiff:
    """Compare two versions whose rows are there; `key` names the columns that together name a row.

    Raises ConfigError for a key that is no column of both, DataError where rows are gone.
    """
    return VersionDiff(
        before.id,
        after.id,
        column_changes(before.columns, after.columns),
        row_differences(folder, before, after, comparable(before.columns, after.columns), key=key),
        shifts(version_profile(folder, before), version_profile(folder, after)),
    )


def column_changes(before: Sequence[Column], after: Sequence[Column]) -> tuple[ColumnChange, ...]:
    """Return the columns that differ: those of `before` in order, then the new ones."""
    first, last = ({column.name: column for column in columns} for columns in (before, after))
    names = dict.fromkeys([*first, *last])
    return tuple(
        ColumnChange(name, first.get(name), last.get(name))
        for name in names
        if first.get(name) != last.get(name)
    )


def comparable(before: Sequence[Column], after: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns in which rows of both can be compared; integers and numbers are numbers there."""
    last = {column.name: column for column in after}
    return tuple(
        replace(column, kind=column.kind if column.kind == last[column.name].kind else "number")
        for column in before
        if column.name in last
        and (column.kind == last[column.name].kind or {column.kind, last[column.name].kind} == _NUMBERS)
    )
