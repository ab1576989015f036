"""A version proves itself in a process of its own before any traffic, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.errors import ArtifactError
from raypipe.core.home import Home
from raypipe.registry.store import Registry
from raypipe.runtime.proof import prove
from raypipe.testing import FakeClock
from raypipe.testing.serving import register_tiny_version


def test_a_version_proves_itself_or_says_why_not(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    folder = home.pipeline("tiny")
    register_tiny_version(Registry(home.registry_url, FakeClock()), folder)
    found = prove(tmp_path, "tiny", "v1")
    assert 0 < found.row_ms < 10_000
    assert found.n_bytes == sum(one.stat().st_size for one in folder.model("v1").rglob("*") if one.is_file())
    with pytest.raises(ArtifactError, match=r"within 0\.01 seconds"):
        prove(tmp_path, "tiny", "v1", timeout_s=0.01)
    (folder.model("v1") / "golden.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"v1 did not prove itself: .*golden\.json"):
        prove(tmp_path, "tiny", "v1")
