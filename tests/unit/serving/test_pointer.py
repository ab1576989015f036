from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import ServingError, StaleEpoch, StorageError
from raypipe.serving.pointer import Pointer, read_pointer, write_pointer
from raypipe.testing import FailingDisk

V1 = Pointer("v1", "a" * 64, 1)
V2 = Pointer("v2", "b" * 64, 2)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny" / "pointer.json"
    assert read_pointer(path) is None
    write_pointer(path, V1)
    assert read_pointer(path) == V1
    write_pointer(path, V2)
    assert read_pointer(path) == V2


@pytest.mark.parametrize("late", [Pointer("v3", "c" * 64, 2), V1, V2])
def test_an_epoch_that_is_not_newer_is_refused(tmp_path: Path, late: Pointer) -> None:
    path = tmp_path / "pointer.json"
    write_pointer(path, V2)
    with pytest.raises(StaleEpoch, match=r"must grow: it is 2 \(version v2\)\. Got"):
        write_pointer(path, late)
    assert read_pointer(path) == V2


@given(epochs=st.lists(st.integers(0, 2**53), min_size=1, max_size=12))
def test_the_newest_epoch_wins_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, epochs: list[int]
) -> None:
    path = tmp_path_factory.mktemp("p") / "pointer.json"
    for epoch in epochs:
        try:
            write_pointer(path, Pointer(f"v{epoch}", "a", epoch))
        except StaleEpoch:
            continue
    assert read_pointer(path) == Pointer(f"v{max(epochs)}", "a", max(epochs))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"version": "v1"}', b'{"version":1,"manifest_sha256":"","epoch":1}']
)
def test_a_damaged_pointer_is_said_not_guessed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "pointer.json"
    path.write_bytes(data)
    with pytest.raises(ServingError, match="promote a version to write it again"):
        read_pointer(path)
    write_pointer(path, V1)
    assert read_pointer(path) == V1


def test_a_full_disk_keeps_the_old_pointer(tmp_path: Path) -> None:
    path = tmp_path / "pointer.json"
    write_pointer(path, V1)
    with pytest.raises(StorageError, match="disk is full"):
        write_pointer(path, V2, FailingDisk(errno.ENOSPC))
    assert read_pointer(path) == V1


def test_a_pointer_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="cannot be read"):
        read_pointer(tmp_path)
