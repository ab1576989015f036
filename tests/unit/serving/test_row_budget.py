"""The rows of a canary's step: never more than allowed, whoever takes them and however often."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.data.locks import try_lock
from raypipe.serving.row_budget import RowBudget


@settings(max_examples=40)
@given(max_rows=st.integers(1, 5_000), starts=st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_all_starts_of_all_replicas_together_take_what_there_is(max_rows: int, starts: list[int]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "canaries" / "one.rows"
        replicas = {n: RowBudget(path, max_rows) for n in range(4)}
        taken = 0
        for n in starts:
            taken += replicas[n].take()
            assert taken <= max_rows
            replicas[n] = RowBudget(path, max_rows)  # It dies with what it took, and starts anew.
        while n_more := replicas[0].take():
            taken += n_more
        assert taken == max_rows
        assert replicas[0].is_empty
        assert [one.take() for one in replicas.values()] == [0, 0, 0, 0]


def test_few_takes_and_little_lost_with_a_replica(tmp_path: Path) -> None:
    budget = RowBudget(tmp_path / "one.rows", 20_000)
    takes = list(iter(budget.take, 0))
    assert sum(takes) == 20_000
    assert len(takes) < 150
    assert max(takes) == 20_000 / 16


def test_who_meets_another_at_it_waits_for_nothing(tmp_path: Path) -> None:
    budget = RowBudget(tmp_path / "one.rows", 100)
    held = try_lock(tmp_path / "one.rows")
    assert held is not None
    assert (budget.take(), budget.is_empty) == (0, False)
    os.close(held)
    assert budget.take() == 7


@pytest.mark.parametrize("content", [b"seven", b"7", b"9" * 40])
def test_of_a_count_that_is_damaged_nothing_is_taken(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "one.rows").write_bytes(content)
    assert RowBudget(tmp_path / "one.rows", 100).take() == 0
    assert "must be 20 digits" in caplog.text
