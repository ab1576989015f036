"""A SQLite file on a local disk: WAL, FULL, one writer at a time, a connection per transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from raypipe.core.errors import RegistryError, StorageError
from raypipe.core.files import fsync_folder, storage_errors
from raypipe.registry.database import BUSY_TIMEOUT_S, Parameter, Row, read_mounts
from raypipe.registry.mounts import network_file_system


@dataclass(frozen=True)
class SqliteSession:
    """A transaction of a SQLite file."""

    connection: sqlite3.Connection

    def run(self, statement: str, /, **parameters: Parameter) -> None:
        self.connection.execute(statement, parameters)

    def rows(self, statement: str, /, **parameters: Parameter) -> list[Row]:
        return self.connection.execute(statement, parameters).fetchall()


@dataclass(frozen=True)
class SqliteDatabase:
    """A SQLite file; asking whether a table exists creates no file, writing does."""

    path: Path
    mounts: Callable[[], str] = read_mounts
    busy_timeout_s: float = BUSY_TIMEOUT_S

    @property
    def name(self) -> str:
        return str(self.path)

    @contextmanager
    def read(self) -> Iterator[SqliteSession]:
        with self._said(), closing(_connect(self.path, "rw", self.busy_timeout_s)) as connection:
            connection.execute("BEGIN")
            yield SqliteSession(connection)
            connection.execute("COMMIT")

    @contextmanager
    def write(self) -> Iterator[SqliteSession]:
        self._refuse_network()
        with self._said():
            if not self.path.exists():
                self._found()
        with self._said(), closing(_connect(self.path, "rw", self.busy_timeout_s)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteSession(connection)
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def has_table(self, name: str) -> bool:
        if not self.path.exists():
            return False
        with self.read() as session:
            query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"
            return bool(session.rows(query, name=name))

    def _found(self) -> None:
        """Put an empty database in WAL mode in place, whole.

        Setting WAL on the file itself fails at once, without waiting, where two processes do so together.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.path.parent, prefix=".registry-") as folder:
            fresh = Path(folder) / self.path.name
            with closing(_connect(fresh, "rwc", self.busy_timeout_s)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):
                self.path.hardlink_to(fresh)
        fsync_folder(self.path.parent)

    def _refuse_network(self) -> None:
        kind = network_file_system(self.path.resolve(), self.mounts())
        if kind is not None:
            raise StorageError(
                f"the registry {self.path} must lie on a local disk, since SQLite can lose writes on {kind}; "
                f"set `home` to a local folder, or give the registry a PostgreSQL URL."
            )

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            with storage_errors(self.path):
                yield
        except sqlite3.DatabaseError as error:
            raise RegistryError(f"the registry {self.path} {_sentence(error)}") from error


def _connect(path: Path, mode: str, timeout_s: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)


def _sentence(error: sqlite3.DatabaseError) -> str:
    # The module's own errors carry no code; the low byte is SQLite's primary code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "is held by another process that has not let go; end that process, or try again."
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"is damaged or no SQLite file ({error}); restore it from a backup, or set `home` elsewhere."
    return f"refuses: {error}."
