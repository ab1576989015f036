"""A data version: which rows there are, where they came from, and what was left out; a light value type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from raypipe.core.ids import Json
from raypipe.data.schema import Column

if TYPE_CHECKING:
    from raypipe.data.config import Violation


@dataclass(frozen=True)
class Fragment:
    """One file that rows were read from; `n_rows` counts all of its rows, the ones left out included."""

    source: str
    path: str
    sha256: str
    n_rows: int
    n_bytes: int


@dataclass(frozen=True)
class BrokenRule:
    """A rule of the contract that rows broke, and what was done with them.

    A row that breaks several rules is counted under each of them.
    """

    rule: str
    column: str
    action: Violation
    n_rows: int


@dataclass(frozen=True)
class DataVersion:
    """An immutable set of rows.

    `id` follows from the content: equal files under equal settings have an equal id, wherever they lie.
    `table_version` is the version of the pipeline's Delta table `data/rows` that holds the rows.
    """

    id: str
    parent: str | None
    table_version: int
    columns: tuple[Column, ...]
    unread: tuple[str, ...]
    """Columns of the sources that are not kept: dropped by the config, of a type that cannot be used."""
    n_rows: int
    broken: tuple[BrokenRule, ...]
    n_unlabelled: int
    fragments: tuple[Fragment, ...]
    created_at: datetime

    def to_json(self) -> Json:
        """Return plain JSON values that `from_json` reads back."""
        return {
            "id": self.id,
            "parent": self.parent,
            "table_version": self.table_version,
            "columns": [column.to_json() for column in self.columns],
            "unread": list(self.unread),
            "n_rows": self.n_rows,
            "broken": [asdict(rule) for rule in self.broken],
            "n_unlabelled": self.n_unlabelled,
            "fragments": [asdict(fragment) for fragment in self.fragments],
            "created_at": self.created_at.isoformat(),
        }

    @classmethod
    def from_json(cls, value: Any) -> DataVersion:
        """Read what `to_json` wrote."""
        fields: Mapping[str, Any] = dict(value)
        rules: Sequence[Mapping[str, Any]] = fields["broken"]
        fragments: Sequence[Mapping[str, Any]] = fields["fragments"]
        return cls(
            **{
                **fields,
                "columns": tuple(Column.from_json(column) for column in fields["columns"]),
                "unread": tuple(fields["unread"]),
                "broken": tuple(BrokenRule(**rule) for rule in rules),
                "fragments": tuple(Fragment(**fragment) for fragment in fragments),
                "created_at": datetime.fromisoformat(fields["created_at"]),
            }
        )
