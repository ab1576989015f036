"""A database behind an SQLAlchemy URL: PostgreSQL for many nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import sqlalchemy
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from raypipe.core.errors import ConfigError, RegistryError
from raypipe.registry.database import BUSY_TIMEOUT_S, Parameter, Row

# Any fixed number: all writers of the registry wait for the same advisory lock.
_LOCK = 7_292_967
_SUPPORTED = ("postgresql", "sqlite")


@dataclass(frozen=True)
class ServerSession:
    """A transaction of a database that SQLAlchemy drives."""

    connection: sqlalchemy.Connection

    def run(self, statement: str, /, **parameters: Parameter) -> None:
        self.connection.execute(sqlalchemy.text(statement), parameters)

    def rows(self, statement: str, /, **parameters: Parameter) -> list[Row]:
        return [tuple(row) for row in self.connection.execute(sqlalchemy.text(statement), parameters)]


@dataclass(frozen=True)
class ServerDatabase:
    """A database by URL; one writer at a time holds the registry's advisory lock."""

    url: str

    @property
    def name(self) -> str:
        return sqlalchemy.make_url(self.url).render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[ServerSession]:
        with self._said(), _engine(self.url).connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield ServerSession(connection)

    @contextmanager
    def write(self) -> Iterator[ServerSession]:
        with self._said(), _engine(self.url).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            else:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield ServerSession(connection)

    def has_table(self, name: str) -> bool:
        with self._said(), _engine(self.url).connect() as connection:
            return sqlalchemy.inspect(connection).has_table(name)

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise RegistryError(
                f"the registry {self.name} refuses or cannot be reached: {error.orig}."
            ) from error


@lru_cache(maxsize=8)
def _engine(url: str) -> sqlalchemy.Engine:
    try:
        parsed = sqlalchemy.make_url(url)
        arguments = {"timeout": BUSY_TIMEOUT_S} if parsed.get_backend_name() == "sqlite" else {}
        engine = sqlalchemy.create_engine(parsed, poolclass=NullPool, connect_args=arguments)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"the registry's URL must name a database whose driver is installed "
            f"(for PostgreSQL: postgresql+psycopg://, `pip install 'psycopg[binary]'`); {error}."
        ) from error
    if engine.dialect.name not in _SUPPORTED:
        raise ConfigError(f"the registry must be SQLite or PostgreSQL. Got {engine.dialect.name}.")
    return engine
