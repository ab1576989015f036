from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from raypipe.core.errors import StorageError
from raypipe.core.home import PipelineHome
from raypipe.data.captured import LabelRecord, PredictionRecord, decode
from raypipe.data.frames import read_frames
from raypipe.data.wal import OsFiles, WalWriter
from raypipe.serving.capture import (
    REOPEN_INTERVAL,
    AnsweredRow,
    Capture,
    CaptureState,
    WalCapture,
    open_capture,
)
from raypipe.serving.config import CaptureSettings
from raypipe.serving.feedback import Label
from raypipe.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROW = AnsweredRow("r1-0", msgspec.Raw(b'{"a": 1}'), "good", (0.25, 0.75))


def kept(folder: PipelineHome) -> list[object]:
    segments = sorted(path for path in folder.wal.glob("*/*") if path.suffix in (".open", ".sealed"))
    return [decode(payload) for path in segments for payload in read_frames(path.read_bytes()).payloads]


class FullDisk(OsFiles):
    """Refuses writes while `full`."""

    full = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, data)


@pytest.fixture
def opened(folder: PipelineHome, clock: FakeClock) -> Callable[..., WalWriter]:
    def open_log(files: OsFiles | None = None) -> WalWriter:
        writer = WalWriter(folder.wal, "r1", clock, files=files)
        writer.open()
        return writer

    return open_log


@pytest.fixture
def real(folder: PipelineHome, clock: FakeClock) -> Capture:
    return open_capture(folder, CaptureSettings(), "r1", clock)


def test_what_is_answered_is_in_the_log_when_the_call_returns(folder: PipelineHome, real: Capture) -> None:
    real.predictions([ROW, ROW], "v1", AT)
    record = PredictionRecord("r1-0", AT, "v1", "champion", '{"a": 1}', "good", (0.25, 0.75))
    assert kept(folder) == [record, record]
    real.close()
    assert kept(folder) == [record, record]
    assert real.state().n_captured == 2


def test_labels_are_in_the_log_when_the_call_returns(folder: PipelineHome, real: Capture) -> None:
    real.labels([Label("r1-0", "good"), Label("r1-1", 2.5)], AT)
    assert kept(folder) == [LabelRecord("r1-0", "good", AT), LabelRecord("r1-1", 2.5, AT)]
    real.close()


def test_nothing_is_written_before_something_is_captured(folder: PipelineHome, real: Capture) -> None:
    real.labels([], AT)
    real.close()
    assert not folder.wal.exists()


def test_capture_that_is_off_keeps_labels_only(folder: PipelineHome, clock: FakeClock) -> None:
    off = open_capture(folder, CaptureSettings(enabled=False), "r1", clock)
    off.predictions([ROW], "v1", AT)
    off.labels([Label("r1-0", "good")], AT)
    off.close()
    assert kept(folder) == [LabelRecord("r1-0", "good", AT)]
    assert (off.state().enabled, off.state().n_captured) == (False, 0)


def test_inputs_that_are_no_utf8_are_kept_readable(folder: PipelineHome, real: Capture) -> None:
    real.predictions([AnsweredRow("r1-0", msgspec.Raw(b'{"note": "\xff"}'), 1.5, None)], "v1", AT)
    [record] = kept(folder)
    assert isinstance(record, PredictionRecord)
    assert record.inputs == '{"note": "�"}'
    real.close()


def test_a_full_disk_is_counted_and_told_and_over_when_there_is_room(
    folder: PipelineHome, opened: Callable[..., WalWriter], clock: FakeClock
) -> None:
    disk = FullDisk()
    capture = WalCapture(lambda: opened(disk), clock)
    capture.predictions([ROW], "v1", AT)
    disk.full = True
    capture.predictions([ROW, ROW], "v1", AT)
    with pytest.raises(StorageError, match="disk is full"):
        capture.labels([Label("r1-0", "good")], AT)
    state = capture.state()
    assert (state.n_captured, state.n_not_captured) == (1, 2)
    assert state.why_not is not None
    assert "the disk is full" in state.why_not
    disk.full = False
    capture.predictions([ROW], "v1", AT)
    assert capture.state() == CaptureState(True, n_captured=2, n_not_captured=2)
    capture.close()
    assert len(kept(folder)) == 2


def test_a_log_that_cannot_be_opened_is_tried_again_a_second_later(
    folder: PipelineHome, opened: Callable[..., WalWriter], clock: FakeClock
) -> None:
    n_tries = 0

    def open_late() -> WalWriter:
        nonlocal n_tries
        n_tries += 1
        if n_tries == 1:
            raise StorageError("the disk is full.")
        return opened()

    capture = WalCapture(open_late, clock)
    for _ in range(3):
        capture.predictions([ROW], "v1", AT)
    assert n_tries == 1
    assert capture.state().why_not == "the disk is full."
    clock.advance(REOPEN_INTERVAL.total_seconds())
    capture.predictions([ROW], "v1", AT)
    assert (capture.state().n_captured, capture.state().n_not_captured) == (1, 3)
    capture.close()


def test_closing_on_a_full_disk_is_no_error(
    folder: PipelineHome, opened: Callable[..., WalWriter], clock: FakeClock, tmp_path: Path
) -> None:
    class CannotSeal(OsFiles):
        def rename(self, path: Path, to: Path) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    capture = WalCapture(lambda: opened(CannotSeal()), clock)
    capture.predictions([ROW], "v1", AT)
    capture.close()
    assert len(kept(folder)) == 1
