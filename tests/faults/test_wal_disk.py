"""A disk that is full or read-only, for real: what was acknowledged comes to the tables once it can be."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.core.errors import StorageError
from raypipe.core.home import Home, PipelineHome
from raypipe.data.captured import PredictionRecord, encode
from raypipe.data.committer import commit_once, read_predictions
from raypipe.data.wal import WalSettings, WalWriter
from raypipe.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 512 KiB in memory of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if done.returncode:
        pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def home(disk: Path) -> PipelineHome:
    return Home(disk).pipeline("p")


def writer(folder: PipelineHome) -> WalWriter:
    log = WalWriter(folder.wal, "s1", FakeClock(), WalSettings(segment_bytes=20_000))
    log.open()
    return log


def record(number: int) -> bytes:
    return encode(PredictionRecord(f"p{number}", AT, "v1", "champion", os.urandom(150).hex(), 1.5))


@pytest.mark.parametrize("n_bytes_left", [0, 5_000, 9_000, 14_000, 30_000, 60_000])
def test_a_full_disk(disk: Path, n_bytes_left: int) -> None:
    log, acknowledged = writer(home(disk)), []
    fill = disk / "fill"
    for number in range(300):
        log.append(record(number))
        acknowledged.append(f"p{number}")
    log.tick()
    free = os.statvfs(disk)
    fill.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - n_bytes_left)))
    with pytest.raises(StorageError, match="the disk is full"):
        for number in range(300, 10_000):
            log.append(record(number))
            acknowledged.append(f"p{number}")
    with pytest.raises(StorageError, match="the disk is full"):
        commit_once(home(disk))
    fill.unlink()
    remount(disk, "size=8m")
    log.append(record(10_000))
    log.close()
    commit_once(home(disk))
    found = read_predictions(home(disk))["id"].to_pylist()
    assert sorted(found) == sorted([*acknowledged, "p10000"])


def test_a_disk_that_becomes_read_only(disk: Path) -> None:
    log = writer(home(disk))
    log.append(record(1))
    log.close()
    remount(disk, "ro")
    with pytest.raises(StorageError, match="read-only"):
        WalWriter(home(disk).wal, "s2", FakeClock()).open()
    with pytest.raises(StorageError, match="read-only"):
        commit_once(home(disk))
    remount(disk, "rw")
    commit_once(home(disk))
    assert read_predictions(home(disk))["id"].to_pylist() == ["p1"]
