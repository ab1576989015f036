from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from raypipe.core.errors import StorageError
from raypipe.data.frames import Segment, read_frames
from raypipe.data.locks import try_lock
from raypipe.data.wal import LOCK, OsFiles, WalSettings, WalWriter
from raypipe.testing import FakeClock


class FaultyFiles(OsFiles):
    """Files on a disk with so many bytes left, whose operations named in `broken` fail."""

    def __init__(self, n_bytes_left: int = 10**9) -> None:
        self.n_bytes_left = n_bytes_left
        self.broken: set[str] = set()
        self.synced: list[str] = []

    def create(self, path: Path) -> int:
        self._check("create")
        return super().create(path)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.n_bytes_left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(descriptor, data[: self.n_bytes_left])
        self.n_bytes_left -= written
        return written

    def truncate(self, descriptor: int, n_bytes: int) -> None:
        self._check("truncate")
        super().truncate(descriptor, n_bytes)

    def sync(self, descriptor: int) -> None:
        self._check("sync")
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        super().sync(descriptor)

    def rename(self, path: Path, to: Path) -> None:
        self._check("rename")
        super().rename(path, to)

    def _check(self, operation: str) -> None:
        if operation in self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def writer(root: Path, files: FaultyFiles | None = None, clock: FakeClock | None = None) -> WalWriter:
    settings = WalSettings(segment_bytes=100, segment_age_s=2.0)
    made = WalWriter(root, "stream", clock or FakeClock(), settings, files)
    made.open()
    return made


def names(log: WalWriter) -> list[str]:
    return sorted(path.name for path in log.folder.iterdir() if path.name != LOCK)


def segment(log: WalWriter, name: str) -> Segment:
    return read_frames((log.folder / name).read_bytes())


def test_what_is_appended_is_in_the_file_at_once(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.append(b"one")
    log.append_all([b"two", b"three"])
    assert segment(log, "00000001.open").payloads == (b"one", b"two", b"three")
    assert log.n_records == 3
    log.close()


def test_an_old_segment_is_sealed_and_the_next_one_begun(tmp_path: Path) -> None:
    clock = FakeClock()
    log = writer(tmp_path, clock=clock)
    log.append(b"one")
    clock.advance(1.9)
    log.tick()
    assert names(log) == ["00000001.open"]
    clock.advance(0.1)
    log.tick()
    assert names(log) == ["00000001.sealed"]
    log.append(b"two")
    assert names(log) == ["00000001.sealed", "00000002.open"]
    log.close()


def test_a_clock_set_back_does_not_keep_a_segment_open(tmp_path: Path) -> None:
    clock = FakeClock()
    log = writer(tmp_path, clock=clock)
    log.append(b"one")
    clock.advance(-3600)
    log.tick()
    assert names(log) == ["00000001.sealed"]
    log.close()


def test_a_large_segment_is_sealed_by_the_next_tick_in_order(tmp_path: Path) -> None:
    log = writer(tmp_path)
    for _ in range(3):
        log.append(b"x" * 100)
    assert names(log) == ["00000001.open", "00000002.open", "00000003.open"]
    log.tick()
    assert names(log) == ["00000001.sealed", "00000002.sealed", "00000003.sealed"]
    log.close()


def test_a_tick_syncs_what_is_new_and_only_that(tmp_path: Path) -> None:
    files = FaultyFiles()
    log = writer(tmp_path, files)
    log.append(b"one")
    log.append(b"two")
    log.tick()
    log.tick()
    assert files.synced == ["00000001.open"]
    log.append(b"three")
    log.tick()
    assert files.synced == ["00000001.open"] * 2
    log.close()


def test_closing_seals_and_gives_the_stream_up(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.append(b"one")
    assert try_lock(log.folder / LOCK) is None
    log.close()
    assert names(log) == ["00000001.sealed"]
    lock = try_lock(log.folder / LOCK)
    assert lock is not None
    os.close(lock)
    with pytest.raises(StorageError, match="not open for writing"):
        log.append(b"two")


def test_a_stream_has_one_writer_ever(tmp_path: Path) -> None:
    log = writer(tmp_path)
    with pytest.raises(StorageError, match="every writer needs a stream name of its own"):
        writer(tmp_path)
    log.close()


def test_nothing_to_append_makes_no_segment(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.append_all([])
    log.tick()
    assert names(log) == []
    log.close()


def test_a_full_disk_is_said_and_what_it_let_through_is_taken_back(tmp_path: Path) -> None:
    files = FaultyFiles(n_bytes_left=20)
    log = writer(tmp_path, files)
    log.append(b"one")
    for _ in range(2):
        with pytest.raises(StorageError, match="the disk is full"):
            log.append(b"too long for it")
    files.n_bytes_left = 10**9
    log.append(b"two")
    assert segment(log, "00000001.open") == Segment((b"one", b"two"), 0, 0)
    assert log.n_records == 2
    log.close()


def test_a_torn_record_that_cannot_be_taken_back_poisons_none_after_it(tmp_path: Path) -> None:
    files = FaultyFiles(n_bytes_left=20)
    files.broken = {"truncate"}
    log = writer(tmp_path, files)
    log.append(b"one")
    with pytest.raises(StorageError):
        log.append(b"too long for it")
    files.n_bytes_left = 10**9
    log.append(b"two")
    log.close()
    torn = segment(log, "00000001.sealed")
    assert (torn.payloads, torn.n_torn_bytes, torn.n_damaged_bytes) == ((b"one",), 9, 0)
    assert segment(log, "00000002.sealed").payloads == (b"two",)


@pytest.mark.parametrize("operation", ["sync", "rename"])
def test_trouble_in_the_background_is_remembered_and_tried_again(tmp_path: Path, operation: str) -> None:
    files, clock = FaultyFiles(), FakeClock()
    log = writer(tmp_path, files, clock)
    log.append(b"one")
    clock.advance(5)
    files.broken = {operation}
    log.tick()
    assert log.problem is not None and "Input/output error" in log.problem
    assert names(log) == ["00000001.open"]
    files.broken = set()
    log.tick()
    assert log.problem is None
    assert names(log) == ["00000001.sealed"]
    log.close()


def test_a_segment_that_cannot_be_created_loses_only_that_append(tmp_path: Path) -> None:
    files = FaultyFiles()
    files.broken = {"create"}
    log = writer(tmp_path, files)
    with pytest.raises(StorageError, match="cannot be written: Input/output error"):
        log.append(b"one")
    files.broken = set()
    log.append(b"two")
    assert segment(log, "00000001.open").payloads == (b"two",)
    log.close()


def test_many_threads_and_the_background_lose_nothing(tmp_path: Path) -> None:
    settings = WalSettings(sync_interval_s=0.001, segment_bytes=2000)
    log = WalWriter(tmp_path, "stream", FakeClock(), settings)
    log.open()
    log.start()

    def work(thread: int) -> None:
        for number in range(300):
            log.append(f"{thread}-{number}".encode())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = [payload for name in names(log) for payload in segment(log, name).payloads]
    assert sorted(found) == sorted(f"{t}-{n}".encode() for t in range(4) for n in range(300))
    for thread_number in range(4):
        own = [payload for payload in found if payload.startswith(f"{thread_number}-".encode())]
        assert own == [f"{thread_number}-{n}".encode() for n in range(300)]
