"""The write-ahead log of one replica: what it answered, before the committer has moved it to a table.

    <wal>/<stream>/writer.lock        held by the writer for as long as its process lives
    <wal>/<stream>/00000001.open      being written
    <wal>/<stream>/00000001.sealed    complete: the committer's to move and delete

`append` hands the bytes to the operating system before it returns, so a killed process loses nothing. The
disk follows within `sync_interval_s`: a power cut loses at most what was appended in that time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from raypipe.core.clock import Clock
from raypipe.core.errors import StorageError
from raypipe.core.files import fsync_folder, make_durable_folder, storage_errors
from raypipe.data.frames import frames
from raypipe.data.locks import try_lock

OPEN = ".open"
SEALED = ".sealed"
LOCK = "writer.lock"


class SegmentFiles(Protocol):
    """The file operations of a log, so that a test can tear a write or fill the disk."""

    def create(self, path: Path) -> int: ...

    def write(self, descriptor: int, data: bytes) -> int: ...

    def truncate(self, descriptor: int, n_bytes: int) -> None: ...

    def sync(self, descriptor: int) -> None: ...

    def rename(self, path: Path, to: Path) -> None: ...

    def close(self, descriptor: int) -> None: ...


class OsFiles:
    """The operating system's own."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    def write(self, descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, n_bytes: int) -> None:
        os.ftruncate(descriptor, n_bytes)

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def rename(self, path: Path, to: Path) -> None:
        path.rename(to)
        fsync_folder(path.parent)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)


@dataclass(frozen=True)
class WalSettings:
    """When a log reaches the disk, and when a segment is given to the committer."""

    sync_interval_s: float = 0.02
    segment_bytes: int = 8 * 1024 * 1024
    segment_age_s: float = 1.0


@dataclass
class _OpenSegment:
    path: Path
    descriptor: int
    opened_at_s: float
    n_bytes: int = 0
    n_synced_bytes: int = 0


@contextmanager
def _wal_errors(folder: Path) -> Iterator[None]:
    """Turn whatever a disk refuses into a StorageError: whoever appends goes on without the log."""
    try:
        with storage_errors(folder):
            yield
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}.") from error


class WalWriter:
    """Appends records to a log; safe to call from several threads of one process.

    `stream` must be new for every writer, restarts included: the committer takes an equal stream and segment
    number for something that it has moved already.
    """

    def __init__(
        self,
        root: Path,
        stream: str,
        clock: Clock,
        settings: WalSettings = WalSettings(),
        files: SegmentFiles | None = None,
    ) -> None:
        self.folder = root / stream
        self.n_records = 0
        self.problem: str | None = None
        self._clock = clock
        self._settings = settings
        self._files = files or OsFiles()
        self._lock = threading.Lock()
        self._background = threading.Lock()
        self._segment: _OpenSegment | None = None
        self._full: list[_OpenSegment] = []
        self._number = 0
        self._lease: int | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Create the stream's folder and lock it; raises StorageError, also where the stream exists."""
        staged = self.folder.with_name(f".{self.folder.name}.new")
        with _wal_errors(self.folder):
            if self.folder.exists():
                raise StorageError(f"{self.folder} exists: every writer needs a stream name of its own.")
            make_durable_folder(staged)
            self._lease = try_lock(staged / LOCK)
            # Renamed once it is locked, so that no committer ever takes this stream for a dead one.
            staged.rename(self.folder)
            fsync_folder(self.folder.parent)

    def start(self) -> None:
        """Sync and seal in the background until `close`."""
        self._thread = threading.Thread(target=self._run, name="raypipe-wal", daemon=True)
        self._thread.start()

    def append(self, payload: bytes) -> None:
        """Write one record; once this returns, the end of the process does not lose it.

        Raises StorageError where the disk is full; the log stays whole, and a later append may succeed.
        """
        self.append_all((payload,))

    def append_all(self, payloads: Sequence[bytes]) -> None:
        """Write several records with one system call: all of them, or none and StorageError."""
        if not payloads:
            return
        data = frames(payloads)
        try:
            with self._lock:
                segment = self._segment or self._next_segment()
                self._write(segment, data)
                self.n_records += len(payloads)
                if segment.n_bytes >= self._settings.segment_bytes:
                    self._retire(segment)
        except OSError:
            with _wal_errors(self.folder):  # Entered only now: each answer waits for an append.
                raise

    def tick(self) -> None:
        """Do one round of the background's work: sync what was appended, seal what is full or old."""
        with self._background:
            with self._lock:
                if (segment := self._segment) is not None and self._is_old(segment):
                    self._retire(segment)
            if self._try(self._seal_full) and self._try(self._sync_open):
                self.problem = None

    def seal(self) -> None:
        """Give all that was appended to the committer; raises StorageError."""
        with self._background:
            with self._lock:
                if self._segment is not None:
                    self._retire(self._segment)
            with _wal_errors(self.folder):
                self._seal_full()

    def close(self) -> None:
        """Seal, stop the background and give the stream up; raises StorageError."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        try:
            self.seal()
        finally:
            if self._lease is not None:
                os.close(self._lease)
                self._lease = None

    def _run(self) -> None:
        while not self._stop.wait(self._settings.sync_interval_s):
            self.tick()

    def _next_segment(self) -> _OpenSegment:
        if self._lease is None:
            raise StorageError(f"{self.folder} is not open for writing.")
        path = self.folder / f"{self._number + 1:08d}{OPEN}"
        self._segment = _OpenSegment(path, self._files.create(path), self._now_s())
        self._number += 1
        return self._segment

    def _write(self, segment: _OpenSegment, data: bytes) -> None:
        """Write all of `data`, or take back what a full disk let through of it."""
        try:
            rest = data
            while rest:
                rest = rest[self._files.write(segment.descriptor, rest) :]
        except OSError:
            try:
                self._files.truncate(segment.descriptor, segment.n_bytes)
            except OSError:
                # The torn frame stays; nothing may follow it, so the next append begins a new segment.
                self._retire(segment)
            raise
        segment.n_bytes += len(data)

    def _retire(self, segment: _OpenSegment) -> None:
        """Append no more to a segment; the background seals it."""
        self._full.append(segment)
        self._segment = None

    def _is_old(self, segment: _OpenSegment) -> bool:
        # A clock that was set back must not keep a segment open for as long as it was set back.
        return abs(self._now_s() - segment.opened_at_s) >= self._settings.segment_age_s

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

    def _seal_full(self) -> None:
        while self._full:
            segment = self._full[0]
            self._files.sync(segment.descriptor)
            self._files.rename(segment.path, segment.path.with_suffix(SEALED))
            self._files.close(segment.descriptor)
            self._full.pop(0)

    def _sync_open(self) -> None:
        segment = self._segment
        if segment is None or segment.n_synced_bytes == segment.n_bytes:
            return
        n_bytes = segment.n_bytes
        self._files.sync(segment.descriptor)
        if segment.n_synced_bytes == 0:
            fsync_folder(self.folder)
        segment.n_synced_bytes = n_bytes

    def _try(self, work: Callable[[], None]) -> bool:
        """Work, or remember what went wrong and try again in the next round."""
        try:
            work()
        except OSError as error:
            self.problem = f"{self.folder}: {error.strerror}"
            return False
        return True
