"""The seam between the registry's statements and the database that runs them.

A SQLite file, the default, is driven by the standard library: importing SQLAlchemy takes 0.2 to 0.3 s,
more than half of what a command that only reads may take to start. Every other URL goes through SQLAlchemy.
Both run the same statements, with parameters written `:name`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from raypipe.core.errors import ConfigError, RegistryError

Parameter: TypeAlias = "int | float | str | None"
Row: TypeAlias = tuple[Any, ...]

BUSY_TIMEOUT_S = 30.0
_SQLITE = "sqlite:///"


class Session(Protocol):
    """One transaction."""

    def run(self, statement: str, /, **parameters: Parameter) -> None:
        """Run a statement that answers nothing."""
        ...

    def rows(self, statement: str, /, **parameters: Parameter) -> list[Row]:
        """Run a query and return its rows."""
        ...


class EmptySession:
    """A reading transaction of a database that does not exist yet: every query finds nothing."""

    def run(self, _: str, /, **parameters: Parameter) -> None:
        raise RegistryError(f"a reading transaction may not write. Got {sorted(parameters)}.")

    def rows(self, _: str, /, **__: Parameter) -> list[Row]:
        return []


class Database(Protocol):
    """Where the registry's tables are; holds no open connection, so it can be pickled and used by threads."""

    @property
    def name(self) -> str:
        """What to call it in a message, without a password."""
        ...

    def read(self) -> AbstractContextManager[Session]:
        """Open a transaction that sees one state of the database."""
        ...

    def write(self) -> AbstractContextManager[Session]:
        """Open the only writing transaction; it commits at the end, and rolls back on an error."""
        ...

    def has_table(self, name: str) -> bool:
        """Say whether a table exists; creates nothing."""
        ...


def read_mounts() -> str:
    """Return the mounted file systems as Linux lists them; elsewhere nothing."""
    path = Path("/proc/mounts")
    return path.read_text(errors="replace") if path.exists() else ""


def open_database(url: str, mounts: Callable[[], str] = read_mounts) -> Database:
    """Return the database behind an SQLAlchemy URL; raises ConfigError for one of no use."""
    if url.startswith(_SQLITE):
        from raypipe.registry.sqlite import SqliteDatabase

        return SqliteDatabase(Path(url.removeprefix(_SQLITE)), mounts)
    if "://" not in url:
        raise ConfigError(
            f"the registry's URL must look like sqlite:///folder/raypipe.db or "
            f"postgresql+psycopg://user@host/database. Got {url!r}."
        )
    from raypipe.registry.server import ServerDatabase

    return ServerDatabase(url)
