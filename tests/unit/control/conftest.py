"""A registry with two versions, and a world for a controller to act in."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock

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
