"""The sources that are joined to the others: listed, so that they have an identity, and read as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.core.ids import Json
from raypipe.core.progress import Progress, silent
from raypipe.data.config import DataSettings
from raypipe.data.joins import Lookup, as_lookup
from raypipe.data.sources.config import JoinSettings
from raypipe.data.sources.opened import declared_of, open_source
from raypipe.data.sources.records import Declared
from raypipe.data.sources.rows import Listed, SourceRows, listed, read_stacked
from raypipe.data.sources.source import SOURCE_COLUMN


@dataclass(frozen=True)
class ListedLookup:
    """A lookup whose pieces and their digests are known."""

    name: str
    join: JoinSettings
    declared: Declared
    pieces: tuple[Listed, ...]

    @property
    def identity(self) -> Json:
        """What its columns beside a row follow from, besides the row."""
        return [self.name, self.join.model_dump(mode="json"), [one.piece.digest for one in self.pieces]]


def list_lookups(settings: DataSettings) -> tuple[ListedLookup, ...]:
    """Return the lookups in the config's order; raises SourceError and SchemaError."""
    found = []
    for one in settings.sources:
        if one.join is not None:
            declared = declared_of(settings, one.name, one.join)
            pieces = listed(open_source(one, declared), declared.kinds, declared.drop)
            found.append(ListedLookup(one.name, one.join, declared, pieces))
    return tuple(found)


def read_lookup(found: ListedLookup, progress: Progress = silent) -> tuple[Lookup, SourceRows]:
    """Return a lookup that rows can be joined to, and its rows; raises DataError and ConfigError."""
    rows = read_stacked(found.pieces, found.declared.kinds, found.declared.drop, progress)
    return as_lookup(found.name, found.join, rows.table.drop_columns([SOURCE_COLUMN])), rows
