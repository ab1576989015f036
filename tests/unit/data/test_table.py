from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from raypipe.core.errors import DataError, StorageError
from raypipe.data import table as module
from raypipe.data.locks import locked, try_lock
from raypipe.data.table import (
    Write,
    added_files,
    commit,
    open_table,
    read_version,
    remove_torn,
    table_exists,
)

ROWS = pa.table({"x": list(range(10))})


def append(path: Path, rows: pa.Table, name: str) -> int:
    return commit(open_table(path, rows.schema), path, Write(rows, name), mode="append")


def test_rows_come_back_in_their_order_from_any_number_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FILE_ROWS", 7)
    rows = pa.table({"x": [(n * 7919) % 101 for n in range(100)]})
    version = append(tmp_path / "t", rows, "d-1")
    assert len(DeltaTable(str(tmp_path / "t")).file_uris()) == 15
    assert read_version(tmp_path / "t", version)["x"].to_pylist() == rows["x"].to_pylist()


def test_a_version_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no table version 3: it was removed or never written"):
        read_version(tmp_path / "t", 3)
    append(tmp_path / "t", ROWS, "d-1")
    with pytest.raises(DataError, match="holds no table version 99"):
        read_version(tmp_path / "t", 99)


def test_an_entry_torn_by_a_power_cut_is_removed_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "t"
    version = append(path, ROWS, "d-1")
    torn = path / "_delta_log" / f"{version + 1:020d}.json"
    torn.touch()
    assert append(path, ROWS.slice(3), "d-2") == version + 1
    assert read_version(path, version + 1) == pa.concat_tables([ROWS, ROWS.slice(3)])
    assert not remove_torn(path)


def test_a_stale_handle_with_the_same_transaction_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    fresh = open_table(path, ROWS.schema)
    stale = DeltaTable(str(path))
    commit(fresh, path, Write(ROWS, "one", {"stream": 1}), mode="append")
    with pytest.raises(StorageError, match="another process at the same time"):
        commit(stale, path, Write(ROWS, "two", {"stream": 1}), mode="append")
    assert DeltaTable(str(path)).transaction_version("stream") == 1
    assert read_version(path, None).num_rows == 10


def test_a_commit_returns_the_version_that_holds_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t"
    stale = open_table(path, ROWS.schema)
    commit(DeltaTable(str(path)), path, Write(ROWS, "one"), mode="append")
    version = commit(stale, path, Write(ROWS, "two"), mode="append")
    assert added_files(path / "_delta_log" / f"{version:020d}.json") == ["0000000001-two-00000.parquet"]
    assert version == 2


def test_all_that_was_written_has_reached_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "t"
    version = append(path, ROWS, "d-1")
    log = path / "_delta_log"
    data = str(path / added_files(log / f"{version:020d}.json")[0])
    assert synced.index(data) < synced.index(str(log / f"{version:020d}.json"))
    assert {str(path), str(log), str(tmp_path)} <= set(synced)


def test_a_full_disk_is_a_sentence_and_leaves_the_table_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t"
    version = append(path, ROWS, "d-1")

    def refuse(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(module, "fsync_file", refuse)
        with pytest.raises(StorageError, match="the disk is full"):
            append(path, ROWS, "d-2")
    assert read_version(path, None) == ROWS
    assert len(list(path.glob("*.parquet"))) == 1
    assert append(path, ROWS, "d-2") == version + 1


def test_whether_a_table_exists(tmp_path: Path) -> None:
    assert not table_exists(tmp_path / "t")
    append(tmp_path / "t", ROWS, "d-1")
    assert table_exists(tmp_path / "t")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "l"
    descriptor = try_lock(path)
    assert descriptor is not None
    yield path
    os.close(descriptor)


def test_a_lock_is_held_by_one(held: Path) -> None:
    assert try_lock(held) is None


def test_a_lock_is_given_back(tmp_path: Path) -> None:
    with locked(tmp_path / "l"):
        assert try_lock(tmp_path / "l") is None
    descriptor = try_lock(tmp_path / "l")
    assert descriptor is not None
    os.close(descriptor)
