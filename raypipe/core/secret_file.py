"""Keys that a home keeps for itself, in files that only their user can read."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from raypipe.core.errors import StorageError
from raypipe.core.files import fsync_folder, storage_errors

MIN_KEY_CHARACTERS = 32


def kept_key(path: Path, new: str, owner: str) -> bytes:
    """Return the key in a file that only this user can read, or make `new` that key.

    Of several processes that make one at once, each with its own `owner`, one key counts for all. Raises
    StorageError for a file that cannot be read or written, and for one without a key.
    """
    with storage_errors(path):
        if not path.exists():
            _make(path, new, owner)
        key = path.read_bytes().strip()
    if len(key) < MIN_KEY_CHARACTERS:
        raise StorageError(
            f"{path} must hold a key of at least {MIN_KEY_CHARACTERS} characters. Got {len(key)}; remove the "
            "file for a new one, with which hashes are others than before."
        )
    return key


def _make(path: Path, new: str, owner: str) -> None:
    temporary = path.with_name(f".{path.name}.{owner}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(new)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):  # Another process was faster: its key counts.
        os.link(temporary, path)
    temporary.unlink()
    fsync_folder(path.parent)
