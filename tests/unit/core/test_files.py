"""Files appear whole or not at all, and each refusal of the system becomes a sentence."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import StorageError
from raypipe.core.files import LocalDisk, fsync_tree, inside, storage_errors, write_json
from raypipe.testing import FailingDisk


def test_write_atomic_replaces_and_leaves_no_other_file(tmp_path: Path) -> None:
    for data in (b"old", b"new"):
        LocalDisk().write_atomic(tmp_path / "a", data)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(StorageError, match=r"a\.json cannot be written: the disk is full; free some space"):
        write_json(tmp_path / "a.json", {"x": 2}, FailingDisk())
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
    ],
)
def test_what_the_system_says(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        write_json(tmp_path / "a", 1, FailingDisk(number))


def test_what_a_library_says(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the disk is full"), storage_errors(tmp_path):
        raise ValueError("Generic LocalFileSystem error: Unable to write (os error 28)")


def test_other_errors_and_sentences_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(KeyError), storage_errors(tmp_path):
        raise KeyError("x")
    with pytest.raises(StorageError, match=r"^said before$"), storage_errors(tmp_path):
        raise StorageError("said before")


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        write_json(tmp_path / "file" / "x" / "a.json", 1)


@given(value=st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_json_round_trip(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    write_json(path, value)  # type: ignore[arg-type]
    assert json.loads(path.read_text()) == value


def test_fsync_tree_reads_and_changes_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b" / "c.json", 1)
    fsync_tree(tmp_path)
    assert json.loads((tmp_path / "a" / "b" / "c.json").read_text()) == 1


def test_inside(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b") == tmp_path.resolve() / "a" / "b"


@pytest.mark.parametrize("relative", ["..", "../x", "a/../../x", "/etc/passwd", "link/x"])
def test_outside(tmp_path: Path, relative: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(StorageError, match="points outside its folder"):
        inside(tmp_path, relative)
