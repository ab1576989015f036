"""Folders that go with the process that owns them, or else before the next one is made."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raypipe.data.locks import try_lock

PREFIX = "rp-"
OWNER_NAME = ".owner"
"""Locked for as long as the folder's process lives."""


@contextmanager
def scratch_folder(place: Path) -> Iterator[Path]:
    """Make a folder for as long as the block lasts, and remove those whose processes were killed."""
    place.mkdir(parents=True, exist_ok=True)
    remove_dead(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    # Named only once it is locked: whoever looks meanwhile must not take it for a dead one's.
    lock = try_lock(folder / f"{OWNER_NAME}.new")
    (folder / f"{OWNER_NAME}.new").rename(folder / OWNER_NAME)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_dead(place: Path) -> None:
    """Remove this user's folders whose processes are no more."""
    for owner in place.glob(f"{PREFIX}*/{OWNER_NAME}"):
        if owner.stat().st_uid != os.getuid() or (lock := try_lock(owner)) is None:
            continue
        shutil.rmtree(owner.parent, ignore_errors=True)
        os.close(lock)
