"""What a data version is made from: each source, what its rows follow from, and how they are accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import polars as pl
import pyarrow as pa

from raypipe.core.ids import Json, content_id
from raypipe.core.progress import Progress
from raypipe.data.config import DataSettings
from raypipe.data.joins import Lookup, join_lookups
from raypipe.data.pieces import Accepted, accept, hinted, missing_columns, with_nulls, without_type
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.lookups import ListedLookup, list_lookups, read_lookup
from raypipe.data.sources.opened import kinds_of, open_sources
from raypipe.data.sources.rows import PieceRows, read_fitted
from raypipe.data.sources.source import Piece, Source
from raypipe.data.versions import JoinedPiece

# Part of every recipe: raise it when equal pieces under equal settings shall give other rows than before.
_LAYOUT = 2

Accept: TypeAlias = Callable[[PieceRows, Mapping[str, ColumnKind]], Accepted]
"""From the rows of a piece, and what columns hold in other pieces, to the rows that are kept of it."""


@dataclass(frozen=True)
class Feed:
    """A source whose rows follow the rows of the feed before it."""

    source: Source
    recipe: str
    """Equal where equal pieces give equal rows."""
    read: Callable[[Piece], PieceRows]
    """Returns the rows of a piece in canonical types."""
    accept: Accept
    time: str | None = None
    """The column with the event time."""


@dataclass(frozen=True)
class Feeds:
    """All feeds of a version, and the pieces of the lookups that were joined to their rows."""

    feeds: tuple[Feed, ...]
    joined: tuple[JoinedPiece, ...] = ()


def feeds_of(settings: DataSettings, progress: Progress) -> Feeds:
    """Return the feeds of a config, in its order; raises SourceError and SchemaError."""
    lookups = _Lookups(settings, list_lookups(settings), progress)
    recipe = recipe_of(settings, lookups.identity)
    feeds = tuple(feed_of(source, settings, recipe, lookups.join) for source in open_sources(settings))
    return Feeds(feeds, lookups.pieces)


def feed_of(
    source: Source, settings: DataSettings, recipe: str, join: Callable[[pa.Table], pa.Table]
) -> Feed:
    """Return the feed of rows that these settings choose, label and check, after a join."""
    kinds = kinds_of(settings)

    def read(piece: Piece) -> PieceRows:
        return read_fitted(source, piece, kinds, settings.drop)

    def accepted(rows: PieceRows, known: Mapping[str, ColumnKind]) -> Accepted:
        joined = join(hinted(rows.table, known))
        # In a stream a field that no record of a piece has is one without values.
        missing = missing_columns(joined, known, settings) if source.is_appended else {}
        untyped = {*without_type(rows.table), *missing}
        return accept(replace(rows, table=with_nulls(joined, missing)), settings, source.name, untyped)

    return Feed(source, recipe, read, accepted, settings.time)


def recipe_of(settings: DataSettings, more: Json) -> str:
    """Return the recipe of rows that these settings choose, label and check, and what else they follow from.

    What `drop` names is kept in the version (it is no feature, but may be read), so it is no part of it.
    """
    chosen = settings.model_dump(mode="json", include={"label", "where", "time"})
    rules = settings.contract.model_dump(mode="json", include={"columns", "rows"}, exclude_defaults=True)
    return content_id("s", {"layout": _LAYOUT, **chosen, **rules, "more": more})


@dataclass(frozen=True)
class _Lookups:
    """What is joined to the rows of each piece; read only where a piece is."""

    settings: DataSettings
    listed: tuple[ListedLookup, ...]
    progress: Progress

    @property
    def identity(self) -> Json:
        return [one.identity for one in self.listed]

    @property
    def pieces(self) -> tuple[JoinedPiece, ...]:
        return tuple(
            JoinedPiece(one.name, part.piece.name, part.piece.digest or "", part.piece.n_bytes)
            for one in self.listed
            for part in one.pieces
        )

    def join(self, rows: pa.Table) -> pa.Table:
        if not self.listed:
            return rows
        return join_lookups(self._typed(rows), self._read, self.settings, self.progress)

    @cached_property
    def _read(self) -> tuple[Lookup, ...]:
        return tuple(read_lookup(one, self.progress)[0] for one in self.listed)

    def _typed(self, rows: pa.Table) -> pa.Table:
        """Give key columns without values the types of the keys that they are joined on."""
        for lookup in self._read:
            for (name, _), key in zip(lookup.join.pairs, lookup.keys.columns[1:], strict=False):
                if name in rows.column_names and pa.types.is_null(rows.schema.field(name).type):
                    empty = pl.Series(name, [None] * rows.num_rows, lookup.keys.schema[key])
                    rows = rows.set_column(rows.column_names.index(name), name, empty.to_arrow())
        return rows
