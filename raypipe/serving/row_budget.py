"""How many rows a canary's step may still spend: one count in the home for all replicas and all their starts.

A replica takes rows from it some at a time, before it answers any of them; those that it dies with are spent.
So however many replicas there are, and however often they start anew, all together answer no more than the
step allows.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from raypipe.core.errors import StorageError
from raypipe.core.files import fsync_folder, storage_errors
from raypipe.data.locks import try_lock

PART = 16
"""A take is this part of what is left: few writes while there is much, little lost with a replica."""
_DIGITS = 20
_log = logging.getLogger("raypipe.serving")


class RowBudget:
    """Takes from the `max_rows` rows of the step whose count is kept in the file `path`."""

    def __init__(self, path: Path, max_rows: int) -> None:
        self._path = path
        self._max_rows = max_rows
        self._is_empty = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was left at the last look."""
        return self._is_empty

    def take(self) -> int:
        """Return how many rows more this replica may answer.

        0 where none are left, where another replica is taking some at this moment, and where the disk
        refuses: then the champion answers.
        """
        if self._is_empty:
            return 0
        try:
            with storage_errors(self._path):
                return self._taken()
        except StorageError as error:
            _log.warning("the canary rests: %s", error)
            return 0

    def _taken(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = try_lock(self._path)
        if descriptor is None:
            return 0
        try:
            before = _read(descriptor)
            left = self._max_rows if before is None else self._max_rows - before
            self._is_empty = left <= 0
            if self._is_empty:
                return 0
            n = -(-left // PART)
            os.pwrite(descriptor, f"{(before or 0) + n:0{_DIGITS}d}".encode(), 0)
            os.fdatasync(descriptor)
            if before is None:
                fsync_folder(self._path.parent)
            return n
        finally:
            os.close(descriptor)


def _read(descriptor: int) -> int | None:
    """Return how many rows were taken, None before the first; raises StorageError for anything else."""
    data = os.pread(descriptor, 2 * _DIGITS, 0)
    if not data:
        return None
    if len(data) != _DIGITS or not data.isdigit():
        raise StorageError(f"the count of a canary's rows must be {_DIGITS} digits. Got {data!r}.")
    return int(data)
