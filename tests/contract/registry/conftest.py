"""What the tests of the registry share: a folder to register, and a data version to name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine

from raypipe.data.schema import Column
from raypipe.data.versions import DataVersion
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.testing.data import example_fragment


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(
    params=["sqlite", "sqlite+pysqlite", "postgresql"], ids=["standard library", "SQLAlchemy", "PostgreSQL"]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database that nobody has written to."""
    if request.param != "postgresql":
        return f"{request.param}:///{tmp_path / 'raypipe.db'}"
    server, schema = request.getfixturevalue("postgres_server"), f"r{uuid4().hex}"
    run_statement(server, f"CREATE SCHEMA {schema}")
    return f"{server}?options=-csearch_path%3D{schema}"


def run_statement(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture
def run_sql(url: str) -> Callable[[str], None]:
    """Return what runs a statement in the database, past the registry."""
    return partial(run_statement, url)


@pytest.fixture
def registry(url: str, clock: FakeClock) -> Registry:
    return Registry(url, clock, mounts=lambda: "")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "p" / "models"


@pytest.fixture
def stage(tmp_path: Path) -> Callable[[str], Path]:
    def make(content: str) -> Path:
        folder = tmp_path / "p" / "staging" / content
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model.json").write_text(content)
        return folder

    return make


@pytest.fixture
def draft() -> ManifestDraft:
    return ManifestDraft("p", "d-1", "r-1", {"kind": "regression"}, "linear", "json", {}, {"mae": 1.0}, {})


@pytest.fixture
def data_version() -> DataVersion:
    return DataVersion(
        id="d-1",
        parent=None,
        table_version=0,
        columns=(Column("x", "number", True),),
        unread=(),
        n_rows=10,
        broken=(),
        n_unlabelled=1,
        fragments=(example_fragment(),),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
