"""A registry with two versions, and a world for a controller to act in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock
from raypipe.testing.control import MemoryDatabase, MemoryRegistry, World

PIPELINE = "flights"


def registered(registry: Registry, folder: Path, n_versions: int) -> None:
    """Register versions whose files hold nothing of use."""
    for number in range(1, n_versions + 1):
        staged = folder / "staging" / str(number)
        staged.mkdir(parents=True)
        (staged / "model.txt").write_text(str(number))
        draft = ManifestDraft(PIPELINE, "d-1", f"r-{number}", {}, "linear", "json", {}, {}, {})
        registry.register(PIPELINE, staged, folder / "models", draft)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'r.db'}"


@pytest.fixture
def registry(tmp_path: Path, registry_url: str, clock: FakeClock) -> Registry:
    """Return a registry in which v1 is the champion of `flights`, and v2 and v3 are registered."""
    found = Registry(registry_url, clock)
    registered(found, tmp_path, 3)
    found.set_alias(PIPELINE, "champion", "v1", reason="the first")
    return found


@pytest.fixture(scope="session")
def three_versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryDatabase]:
    """Yield a database with what `registry` holds, to copy."""
    database = MemoryDatabase()
    found = MemoryRegistry(FakeClock(), database)
    registered(found, tmp_path_factory.mktemp("versions"), 3)
    found.set_alias(PIPELINE, "champion", "v1", reason="the first")
    yield database
    database.close()


@pytest.fixture
def world(three_versions: MemoryDatabase) -> Iterator[World]:
    found = World(PIPELINE, three_versions.copy())
    yield found
    found.database.close()
