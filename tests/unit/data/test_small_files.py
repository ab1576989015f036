from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.data import small_files as module
from raypipe.data.committer import RETENTION
from raypipe.data.small_files import merge_small
from raypipe.data.table import Write, commit, open_table, read_version
from raypipe.testing import FakeClock

SCHEMA = pa.schema([("x", pa.int64())])


def append(path: Path, values: list[int]) -> None:
    table = open_table(path, SCHEMA, RETENTION)
    commit(table, path, Write(pa.table({"x": values}, SCHEMA), f"from-{values[0]}"), mode="append")


def rows(path: Path) -> list[int]:
    found: list[int] = read_version(path, None)["x"].to_pylist()
    return found


def n_files(path: Path) -> int:
    return len(DeltaTable(str(path)).file_uris())


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=8), st.integers(600, 4000))
def test_rows_keep_their_order(commits: list[tuple[int, bool]], large_bytes: int) -> None:
    with TemporaryDirectory() as place:
        path, start = Path(place) / "t", 0
        for n_rows, merges in commits:
            append(path, list(range(start, start + n_rows)))
            start += n_rows
            if merges:
                merge_small(path, FakeClock(), more_than=1, large_bytes=large_bytes)
        assert rows(path) == list(range(start))


def test_few_small_files_are_left_alone(tmp_path: Path) -> None:
    for number in range(3):
        append(tmp_path / "t", [number])
    assert not merge_small(tmp_path / "t", FakeClock(), more_than=3)
    assert n_files(tmp_path / "t") == 3


def test_many_become_one_and_the_app_transactions_stay(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for number in range(4):
        table = open_table(path, SCHEMA, RETENTION)
        write = Write(pa.table({"x": [number]}, SCHEMA), str(number), {"s": number + 1})
        commit(table, path, write, mode="append")
    assert merge_small(path, FakeClock(), more_than=3)
    assert (n_files(path), rows(path)) == (1, [0, 1, 2, 3])
    assert DeltaTable(str(path)).transaction_version("s") == 4


def test_a_large_file_is_not_written_again_for_a_few_small_ones(tmp_path: Path) -> None:
    path = tmp_path / "t"
    append(path, list(range(20_000)))
    large = DeltaTable(str(path)).file_uris()
    for number in range(3):
        append(path, [20_000 + number])
    assert merge_small(path, FakeClock(), more_than=2)
    assert set(large) < set(DeltaTable(str(path)).file_uris())
    assert n_files(path) == 2


def test_where_another_commits_at_that_moment_nothing_is_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t"
    for number in range(3):
        append(path, [number])
    monkeypatch.setattr(module, "write_entry", lambda *_: False)
    assert not merge_small(path, FakeClock(), more_than=1)
    assert (n_files(path), rows(path)) == (3, [0, 1, 2])


def test_what_was_merged_is_deleted_once_no_reader_may_need_it(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for number in range(3):
        append(path, [number])
    clock = FakeClock()
    clock.advance(time.time() - clock.now().timestamp() - 9_000)
    assert merge_small(path, clock, more_than=2)
    for number in range(3, 6):
        append(path, [number])
    for file in path.glob("*.parquet"):
        os.utime(file, (time.time() - 9_000,) * 2)
    assert merge_small(path, clock, more_than=2)
    assert rows(path) == list(range(6))
    assert len(list(path.glob("*.parquet"))) < 8, "six commits, two merges: eight were written"
