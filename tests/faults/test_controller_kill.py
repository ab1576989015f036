"""kill -9 of a controller's process at any moment of whole cycles: the books add up in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kills.__main__ import LONGEST_LIFE_S, kill


@pytest.mark.parametrize(
    ("n_kills", "longest_s"), [(8, 0.15), pytest.param(100, LONGEST_LIFE_S, marks=pytest.mark.slow)]
)
def test_no_decision_is_lost_doubled_or_left_half_done(
    tmp_path: Path, n_kills: int, longest_s: float
) -> None:
    found = kill(tmp_path, n_kills, seed=n_kills, longest_s=longest_s)
    assert found.books.wrong == ()
    assert found.struck.total() == n_kills
    assert found.books.endings.total() >= 1
    if n_kills == 100:
        assert len(found.struck) >= 5, "kills must strike most phases"
        assert {"promoted", "withdrawn"} <= found.books.endings.keys()
