"""The config's folder is counted before it is sent, and the same files make the same package."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from raypipe.core.errors import ConfigError
from raypipe.runtime.working_dir import LIMIT_BYTES, PackedFile, list_files, pack, require_small

MakeFolder = Callable[..., Path]


@pytest.fixture
def folder_of(tmp_path: Path) -> MakeFolder:
    """Return a function that writes files of given sizes."""

    def make(**sizes: int) -> Path:
        folder = tmp_path / "project"
        for path, n_bytes in sizes.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(b"x" * n_bytes)
        return folder

    return make


def test_files_are_listed_with_their_sizes(folder_of: MakeFolder) -> None:
    folder = folder_of(**{"raypipe.yaml": 3, "data/b.csv": 2, "data/a.csv": 1})
    assert list_files(folder) == (
        PackedFile("data/a.csv", 1),
        PackedFile("data/b.csv", 2),
        PackedFile("raypipe.yaml", 3),
    )


@pytest.mark.parametrize(
    "path", [".git/config", ".venv/bin/python", ".env", "a/__pycache__/b.pyc", "a/.git/c"]
)
def test_what_no_job_needs_stays(folder_of: MakeFolder, path: str) -> None:
    folder = folder_of(**{"raypipe.yaml": 1, path: 1})
    assert [file.path for file in list_files(folder)] == ["raypipe.yaml"]


@pytest.mark.parametrize("pattern", ["data", "data/", "data/*", "*.csv", "data/a.csv"])
def test_a_pattern_leaves_files_behind(folder_of: MakeFolder, pattern: str) -> None:
    folder = folder_of(**{"raypipe.yaml": 1, "data/a.csv": 1})
    assert [file.path for file in list_files(folder, [pattern])] == ["raypipe.yaml"]


def test_broken_links_and_linked_folders_stay(folder_of: MakeFolder) -> None:
    folder = folder_of(**{"raypipe.yaml": 1, "data/a.csv": 1})
    (folder / "broken").symlink_to(folder / "absent")
    (folder / "data" / "loop").symlink_to(folder)
    assert [file.path for file in list_files(folder)] == ["data/a.csv", "raypipe.yaml"]


def test_the_largest_entries_are_named() -> None:
    files = [
        PackedFile("data/a.parquet", 80 * 2**20),
        PackedFile("data/b.parquet", 10 * 2**20),
        PackedFile("notes.pdf", 20 * 2**20),
        PackedFile("raypipe.yaml", 100),
        PackedFile("z", 1),
    ]
    with pytest.raises(ConfigError) as refused:
        require_small(Path("/project"), files)
    text = str(refused.value)
    assert "must have less than 100.0 MiB" in text
    assert "Got 110.0 MiB in /project" in text
    assert "most of it in data (90.0 MiB), notes.pdf (20.0 MiB), raypipe.yaml (0.0 MiB); leave out" in text
    assert "--exclude" in text


def test_the_limit_itself_is_too_large() -> None:
    require_small(Path("/project"), [PackedFile("a", LIMIT_BYTES - 1)])
    with pytest.raises(ConfigError):
        require_small(Path("/project"), [PackedFile("a", LIMIT_BYTES)])


def test_the_same_files_make_the_same_package(folder_of: MakeFolder, tmp_path: Path) -> None:
    folder = folder_of(**{"raypipe.yaml": 3, "data/a.csv": 70_000})
    files = list_files(folder)
    pack(folder, files, tmp_path / "first.zip")
    os.utime(folder / "raypipe.yaml", (1, 1))
    pack(folder, files, tmp_path / "second.zip")
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "first.zip") as archive:
        assert archive.namelist() == ["data/a.csv", "raypipe.yaml"]
        assert archive.read("raypipe.yaml") == b"xxx"
