"""A disk that is full or read-only, for real: what was acknowledged comes to the tables once it can be."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.control.capture_watch import INTERVAL, CaptureWatch, Capturing
from raypipe.core.clock import SystemClock
from raypipe.core.errors import StorageError
from raypipe.core.home import Home, PipelineHome
from raypipe.data.captured import PredictionRecord, encode
from raypipe.data.committer import commit_once, read_predictions
from raypipe.data.wal import WalSettings, WalWriter
from raypipe.serving.config import ServingSettings
from raypipe.serving.endpoint import Endpoint
from raypipe.serving.metrics import NOT_CAPTURED, samples
from raypipe.serving.pointer import write_pointer
from raypipe.serving.replica import build_app
from raypipe.serving.spec import EndpointSpec
from raypipe.testing import FakeClock
from raypipe.testing.serving import write_tiny_version

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


@pytest.fixture
def answering(disk: Path) -> Iterator[Endpoint]:
    """Yield an endpoint whose home is the disk, with some room left and the log open."""
    remount(disk, "size=4m")
    spec = EndpointSpec("p", disk, ServingSettings())
    write_pointer(spec.folder.pointer, write_tiny_version(spec.folder, "v1", 1))
    endpoint = build_app(spec, "s1", SystemClock()).endpoint
    yield endpoint
    endpoint.close()


def answered(endpoint: Endpoint) -> str:
    reply = endpoint.predict(b'{"rows": [{"size": 3, "colour": "red", "member": true}]}')
    assert reply.status == 200
    found: str = json.loads(reply.body)["predictions"][0]["id"]
    return found


def fill(disk: Path) -> None:
    with (disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def make_full(disk: Path) -> None:
    # The log's segment has pages that it may still fill; those of its next one it does not get.
    fill(disk)


def make_read_only(disk: Path) -> None:
    remount(disk, "ro")


def mend(disk: Path) -> None:
    remount(disk, "rw,size=8m")
    (disk / "fill").unlink(missing_ok=True)


@pytest.mark.parametrize("spoil", [make_full, make_read_only])
def test_answers_go_on_while_nothing_can_be_captured_and_it_is_said(
    disk: Path, answering: Endpoint, spoil: Callable[[Path], None]
) -> None:
    """Nothing is open for writing at first, else the disk could not be made read-only."""
    spoil(disk)
    watch = CaptureWatch("p", lambda: seen(answering))
    limit = time.monotonic() + 30
    while not answering.capture_state.why_not and time.monotonic() < limit:
        answered(answering)
    lost = answered(answering)
    state = answering.capture_state
    assert state.n_not_captured > 0
    assert state.why_not is not None
    told = {sample.metric: sample.value for sample in samples(answering)}
    assert told[NOT_CAPTURED] == state.n_not_captured
    alert = watch.look(AT)
    assert alert is not None
    assert state.why_not in alert.text
    assert answering.feedback(b'{"labels": [{"id": "a", "label": "good"}]}').status == 503
    mend(disk)
    while answering.capture_state.why_not and time.monotonic() < limit:
        kept = answered(answering)
        time.sleep(0.01)
    over = watch.look(AT + INTERVAL)
    assert over is not None
    assert over.key == f"{alert.key}/over"
    answering.close()
    commit_once(home(disk))
    found = read_predictions(home(disk))["id"].to_pylist()
    assert kept in found
    assert lost not in found
    assert len(found) == len(set(found)) == answering.capture_state.n_captured


def seen(endpoint: Endpoint) -> Capturing:
    state = endpoint.capture_state
    return Capturing("s1", state.n_not_captured, state.why_not)
