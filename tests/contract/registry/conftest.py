"""What the tests of the registry share: a folder to register, and a data version to name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.data.schema import Column
from raypipe.data.versions import DataVersion
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.testing.data import example_fragment


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "sqlite+pysqlite"], ids=["standard library", "SQLAlchemy"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:///{tmp_path / 'raypipe.db'}"


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
