"""A key of a home's own: made once, and read by nobody else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from raypipe.core.errors import StorageError
from raypipe.core.secret_file import kept_key


def test_a_key_is_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "capture.key"
    assert kept_key(path, "a" * 64, "r1") == b"a" * 64
    assert kept_key(path, "b" * 64, "r2") == b"a" * 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["capture.key"]


def test_a_file_without_a_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "capture.key"
    path.write_text("short\n")
    with pytest.raises(StorageError, match="must hold a key of at least 32 characters"):
        kept_key(path, "a" * 64, "r1")
