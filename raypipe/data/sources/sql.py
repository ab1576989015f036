"""A database as a source: one SELECT, or ranges of a column that only grows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from raypipe.core.errors import ConfigError, SourceError
from raypipe.core.ids import Json
from raypipe.data.names import suggest
from raypipe.data.sources.config import SqlSettings
from raypipe.data.sources.cursors import Cursor, behind, checked, from_json, to_json
from raypipe.data.sources.places import masked, without
from raypipe.data.sources.records import CHUNK_ROWS, UNDECLARED, Declared, columns_table, stacked
from raypipe.data.sources.source import Delivery, Extent, Piece

_DRIVERS = {"psycopg": "postgres"}
"""Drivers that an extra of ours brings."""


@dataclass(frozen=True)
class SqlSource:
    """A table, a view or a query; with a cursor column, rows beyond the last one read.

    A piece ends at a cursor value, so rows that have the same one are never parted. A row that is committed
    after its value was passed is never seen: `lag` holds reading back so far.
    """

    settings: SqlSettings
    declared: Declared = UNDECLARED

    delivery: ClassVar[Delivery] = "exactly once"

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def place(self) -> str:
        return f"{masked(self._url.render_as_string(hide_password=True))}: {self._what}"

    @property
    def because(self) -> str:
        cursor, lag = self.settings.cursor, self.settings.lag
        if cursor is None:
            return "one SELECT, read anew each time"
        late = f"no later than {lag:g} behind it" if lag else "in its order"
        return f"by ranges of {cursor}, for rows that are committed {late}"

    @property
    def is_appended(self) -> bool:
        return self.settings.cursor is not None

    def extent(self, after: Json) -> Extent:
        statement = sa.select(sa.func.count()).select_from(self._rows)
        if self.is_appended and after is not None:
            statement = statement.where(self._column > from_json(after))
        n_rows = int(self._scalar(statement))
        return Extent(math.ceil(n_rows / self.settings.batch_rows) if self.is_appended else 1, n_rows, None)

    def pieces(self, after: Json) -> Iterator[Piece]:
        if not self.is_appended:
            yield Piece(self.name, self._what, None, 0)
            return
        last = self._last(after)
        start = None if after is None else from_json(after)
        while last is not None and start != last:
            end = self._nth(start, last)
            yield self._piece(start, end)
            start = end

    def read(self, piece: Piece) -> pa.Table:
        statement = sa.select(sa.text("*")).select_from(self._rows)
        if self.is_appended:
            end = from_json(piece.position)
            statement = statement.where(self._column <= end).order_by(self._column)
            if piece.start is not None:
                statement = statement.where(self._column > from_json(piece.start))
        tables = []
        with self._connected() as connection:
            result = connection.execution_options(stream_results=True).execute(statement)
            names = list(result.keys())
            for rows in result.partitions(CHUNK_ROWS):
                columns = list(zip(*rows, strict=True))
                tables.append(columns_table(names, columns, piece.name, self.declared))
        empty = pa.table({name: pa.nulls(0) for name in names})
        return stacked(tables, piece.name) if tables else empty

    def _last(self, after: Json) -> Cursor | None:
        """Return the value up to which there is something new to read."""
        if after is None:
            self._check_no_nulls()
        newest = self._cursor(sa.select(sa.func.max(self._column)))
        if newest is None and after is None:
            raise SourceError(f"source {self.name} has no rows: {self.place} is empty.")
        if newest is None:
            return None
        end = behind(newest, self.settings.lag, self.name)
        statement = sa.select(sa.func.max(self._column)).where(self._column <= end)
        if after is not None:
            statement = statement.where(self._column > from_json(after))
        return self._cursor(statement)

    def _nth(self, start: Cursor | None, last: Cursor) -> Cursor:
        """Return the value at which a piece that begins after `start` is full."""
        statement = sa.select(self._column).where(self._column <= last).order_by(self._column)
        if start is not None:
            statement = statement.where(self._column > start)
        found = self._cursor(statement.offset(self.settings.batch_rows - 1).limit(1))
        return last if found is None else found

    def _piece(self, start: Cursor | None, end: Cursor) -> Piece:
        since = "" if start is None else f" after {start}"
        name = f"{self._what}, {self.settings.cursor}{since} to {end}"
        return Piece(self.name, name, None, 0, to_json(end), None if start is None else to_json(start))

    def _check_no_nulls(self) -> None:
        n_null = self._scalar(
            sa.select(sa.func.count()).select_from(self._rows).where(self._column.is_(None))
        )
        if n_null:
            raise SourceError(
                f"the cursor {self.settings.cursor!r} of source {self.name} must have a value in every row. "
                f"Got {n_null:,} rows without one, which would never be read; leave them out in `query`."
            )

    @property
    def _what(self) -> str:
        return f"table {self.settings.table}" if self.settings.table else "query"

    @cached_property
    def _rows(self) -> sa.FromClause:
        column: sa.ColumnClause[Any] = sa.column(self.settings.cursor or "_")
        if self.settings.table is not None:
            schema, _, table = self.settings.table.rpartition(".")
            return sa.table(table, column, schema=schema or None)
        # A colon is a parameter's to SQLAlchemy; a query has none.
        text = sa.text(str(self.settings.query).rstrip("; \n").replace(":", r"\:"))
        return text.columns(column).subquery("source_rows")

    @property
    def _column(self) -> sa.ColumnElement[Any]:
        return self._rows.c[str(self.settings.cursor)]

    def _cursor(self, statement: sa.Select[Any]) -> Cursor | None:
        found = self._scalar(statement)
        return None if found is None else checked(found, self.name)

    def _scalar(self, statement: sa.Select[Any]) -> Any:
        with self._connected() as connection:
            return connection.execute(statement).scalar()

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """Connect, to read alone, and end what is read; raises SourceError and ConfigError."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.NoSuchModuleError as error:
            raise ConfigError(
                f"url of source {self.name} must name a database that SQLAlchemy knows: {error}."
            ) from error
        except ModuleNotFoundError as error:
            raise ConfigError(_missing(self.name, str(error.name))) from error
        except sa.exc.SQLAlchemyError as error:
            raise self._unreadable(error) from error

    @cached_property
    def _engine(self) -> sa.Engine:
        url = self._url
        if url.get_backend_name() == "sqlite" and self.settings.local_path is not None:
            url = _read_only(url, self.name)
        options = {"postgresql_readonly": True} if url.get_backend_name() == "postgresql" else {}
        return sa.create_engine(url, poolclass=NullPool, execution_options=options)

    @property
    def _url(self) -> sa.URL:
        try:
            return sa.make_url(self.settings.url)
        except sa.exc.ArgumentError as error:
            raise ConfigError(
                f"url of source {self.name} must be as SQLAlchemy spells it, such as "
                "postgresql+psycopg://user:${PASSWORD}@host/base."
            ) from error

    def _unreadable(self, error: sa.exc.SQLAlchemyError) -> SourceError:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0].rstrip(".")
        shown = without(self._url.password or "", cause)
        return SourceError(f"source {self.name} cannot be read from {self.place}: {shown}.")


def _missing(name: str, module: str) -> str:
    extra = _DRIVERS.get(module)
    package = f"'raypipe[{extra}]'" if extra else f"the package that brings {module}"
    return f"source {name} needs the driver {module}, which is not installed: `pip install {package}`."


def _read_only(url: sa.URL, name: str) -> sa.URL:
    """Open an SQLite file so that nothing can be written, and none is created where there is none."""
    path = Path(url.database or "")
    if not path.is_file():
        names = [other.name for other in sorted(path.parent.glob("*"))]
        raise SourceError(f"{path} of source {name} does not exist; {suggest(path.name, names)}")
    uri = f"file:{quote(str(path.absolute()))}"
    return url.set(database=uri, query={**url.query, "mode": "ro", "uri": "true"})
