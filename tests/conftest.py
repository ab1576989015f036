"""What every tier shares: where the real data is, that no test is timed, and that one Ray runs at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("raypipe", deadline=None)
settings.load_profile("raypipe")

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
_STARTS_RAY = ("tests/ray/", "tests/e2e/", "tests/faults/test_run_kill.py", "tests/faults/test_score_kill.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Give what starts Ray to one worker, and other files to whichever is free.

    Groups by marks, which pytest-xdist 3.8 would have, come to nothing beside pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class _OneRay(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "starts Ray" if nodeid.startswith(_STARTS_RAY) else nodeid.partition("::")[0]

    return _OneRay(config, log)


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Return a function from a file's name to its path; it skips the test where the file is absent."""
    folder = Path(os.environ.get("RAYPIPE_TEST_DATA", _BESIDE))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"{name} is not in the folder that RAYPIPE_TEST_DATA names")
        return path

    return find
