"""Which of a log's committers is the newest: an older one, as of a cluster that was replaced, is refused."""

from __future__ import annotations

from pathlib import Path

from raypipe.core.errors import StaleEpoch, StorageError
from raypipe.core.files import LOCAL_DISK

NEWEST = "committer.epoch"
"""Beside the log, holds the epoch of the newest committer that had one."""


def take_over(wal: Path, epoch: int | None) -> None:
    """Let no committer that is older than `epoch` write from now on; raises StaleEpoch for an older one."""
    check_newest(wal, epoch)
    if epoch is not None and epoch > _newest(wal):
        LOCAL_DISK.write_atomic(wal / NEWEST, str(epoch).encode())


def check_newest(wal: Path, epoch: int | None) -> None:
    """Raise StaleEpoch where a committer that is newer than `epoch` has taken over; None is no committer."""
    newest = _newest(wal)
    if epoch is not None and newest > epoch:
        raise StaleEpoch(
            f"the newest committer of {wal} has epoch {newest}. Got a write of the one with {epoch}: another "
            "has taken over, and it ends."
        )


def _newest(wal: Path) -> int:
    try:
        found = (wal / NEWEST).read_bytes()
    except FileNotFoundError:
        return 0
    if not found.isdigit():
        raise StorageError(f"{wal / NEWEST} must hold a whole number. Got {found[:40]!r}; remove the file.")
    return int(found)
