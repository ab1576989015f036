"""The home: names that are safe as folders, and a proof that it can be written."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from raypipe.core.errors import ConfigError, StorageError
from raypipe.core.home import Home
from raypipe.testing import FailingDisk


def test_layout() -> None:
    home = Home(Path("/h"))
    folder = home.pipeline("flights")
    assert home.registry_url == "sqlite:////h/raypipe.db"
    assert folder.model("v1") == Path("/h/flights/models/v1")
    assert folder.profile("d-1") == Path("/h/flights/profiles/d-1.json")
    places = [folder.rows, folder.quarantine, folder.predictions, folder.labels, folder.wal, folder.pointer]
    assert len(set(places)) == len(places)
    assert all(place.is_relative_to(folder.root) for place in places)


@pytest.mark.parametrize("name", ["", "A", "1a", "a/b", "..", "a b", "a" * 41, "é", "a\n"])
def test_a_name_that_is_no_name(name: str) -> None:
    with pytest.raises(ConfigError, match="name must start with a letter"):
        Home(Path("/h")).pipeline(name)


def test_prepare_leaves_an_empty_folder(tmp_path: Path) -> None:
    Home(tmp_path / "a" / "b").prepare()
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_home_that_cannot_be_written(tmp_path: Path, number: int) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        Home(tmp_path / "h").prepare(FailingDisk(number))
