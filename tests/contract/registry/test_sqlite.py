"""The SQLite file: how it is opened, and what is said when it cannot be used."""

from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from raypipe.core.errors import RegistryError, StorageError
from raypipe.registry.sqlite import SqliteDatabase
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "raypipe.db"


def opened(path: Path, mounts: str = "") -> Registry:
    return Registry(f"sqlite:///{path}", FakeClock(), mounts=lambda: mounts)


def test_it_is_in_wal_mode_and_synced_in_full(path: Path) -> None:
    opened(path).append("p", "noted", "x", None)
    with SqliteDatabase(path).write() as session:
        assert session.rows("PRAGMA journal_mode") == [("wal",)]
        assert session.rows("PRAGMA synchronous") == [(2,)]


def test_reading_creates_nothing(path: Path) -> None:
    assert opened(path).history("p") == ()
    assert not path.parent.exists()


def test_a_network_file_system_is_refused(path: Path) -> None:
    registry = opened(path, f"server:/x {path.parents[1]} nfs4 rw 0 0")
    with pytest.raises(StorageError, match="can lose writes on nfs4; set `home` to a local folder, or give"):
        registry.append("p", "noted", "x", None)
    assert not path.exists()


def test_a_file_that_is_no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(RegistryError, match="damaged or no SQLite file"):
        opened(path).history("p")
    with pytest.raises(RegistryError, match="damaged or no SQLite file"):
        opened(path).append("p", "noted", "x", None)


def test_a_file_where_the_home_should_be(path: Path) -> None:
    path.parent.write_text("")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        opened(path).append("p", "noted", "x", None)


def test_a_writer_that_never_lets_go(path: Path) -> None:
    opened(path).append("p", "noted", "x", None)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(RegistryError, match="held by another process"),
            SqliteDatabase(path, busy_timeout_s=0.01).write(),
        ):
            pass
        assert len(opened(path).history("p")) == 1, "readers do not wait for a writer"


def test_a_failed_write_leaves_nothing(path: Path) -> None:
    registry = opened(path)
    registry.append("p", "noted", "x", None)
    with pytest.raises(ValueError, match="not JSON compliant"):
        registry.append("p", "noted", "x", float("nan"))
    assert len(registry.history("p")) == 1


def test_it_pickles(path: Path) -> None:
    registry = Registry(f"sqlite:///{path}", FakeClock())
    registry.append("p", "noted", "x", None)
    assert pickle.loads(pickle.dumps(registry)).history("p") == registry.history("p")


def test_reading_imports_nothing_heavy(path: Path) -> None:
    code = (
        "import sys; from raypipe.registry.store import Registry; from raypipe.core.clock import SystemClock;"
        f"Registry('sqlite:///{path}', SystemClock()).history('p');"
        "print([m for m in ('sqlalchemy','polars','numpy','pyarrow','ray','deltalake') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
