"""What every tier shares: where the real data is, that no test is timed, and which tests go one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("raypipe", deadline=None)
settings.load_profile("raypipe")

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
_HERE = Path(__file__).parent
_ONE_BY_ONE = tuple(_HERE / tier for tier in ("ray", "e2e", "faults"))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give what starts Ray or kills processes to one worker, where pytest-xdist runs several."""
    if any(item.path.is_relative_to(tier) for tier in _ONE_BY_ONE):
        item.add_marker(pytest.mark.xdist_group("one by one"))


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
