"""Writers and committers that are killed: what was acknowledged is in the tables, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from raypipe.core.home import Home, PipelineHome
from raypipe.data.committer import commit_once, read_predictions

WRITER = """
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from raypipe.core.clock import SystemClock
from raypipe.data.captured import PredictionRecord, encode
from raypipe.data.wal import WalSettings, WalWriter

log = WalWriter(Path(sys.argv[1]), sys.argv[2], SystemClock(), WalSettings(0.002, 20_000, 0.05))
log.open()
log.start()
for number in range(10**9):
    record = PredictionRecord(f"{sys.argv[2]}-{number}", datetime.now(UTC), "v1", "champion", "{}", 1.5)
    log.append(encode(record))
    print(number, flush=True)
    time.sleep(0.0005)
"""

COMMITTER = """
import sys
from pathlib import Path
from raypipe.core.home import Home
from raypipe.data.committer import commit_once

folder = Home(Path(sys.argv[1])).pipeline("p")
while True:
    commit_once(folder, batch_bytes=40_000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> PipelineHome:
    return Home(tmp_path).pipeline("p")


@dataclass
class Child:
    """A process whose output goes to a file, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    output: Path

    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def kill(self) -> list[str]:
        """Kill -9, and return the lines it had written."""
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL
        return self.lines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def begin(code: str, *arguments: str) -> Child:
        output = tmp_path / f"output-{len(children)}"
        with output.open("wb") as file:
            process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=file)
        children.append(Child(process, output))
        return children[-1]

    yield begin
    for child in children:
        if child.process.poll() is None:
            child.kill()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("what was waited for did not come")


def test_a_killed_writer_loses_nothing_it_acknowledged(
    folder: PipelineHome, start: Callable[..., Child]
) -> None:
    acknowledged: set[str] = set()
    for stream in ("s1", "s2"):
        writer = start(WRITER, str(folder.wal), stream)
        until(partial(has_sealed, folder.wal / stream))
        acknowledged |= {f"{stream}-{line}" for line in writer.kill()}
    report = commit_once(folder)
    found = read_predictions(folder)["id"].to_pylist()
    assert len(found) == len(set(found)) == report.n_predictions
    # At most the one record that each was writing when it died is there without having been acknowledged.
    assert acknowledged <= set(found) and len(set(found) - acknowledged) <= 2


def test_a_committer_killed_at_random_moves_each_record_once(
    folder: PipelineHome, start: Callable[..., Child]
) -> None:
    writer = start(WRITER, str(folder.wal), "s1")
    for pause_s in (0.0, 0.003, 0.007, 0.011, 0.017, 0.023):
        before = n_commits(folder)
        committer = start(COMMITTER, str(folder.root.parent))
        until(lambda before=before: n_commits(folder) > before + 1)
        time.sleep(pause_s)
        committer.kill()
    acknowledged = {f"s1-{line}" for line in writer.kill()}
    commit_once(folder)
    found = read_predictions(folder)["id"].to_pylist()
    assert len(found) == len(set(found))
    assert acknowledged <= set(found) and len(set(found) - acknowledged) <= 1
    assert not list(folder.wal.glob("*/*"))


def has_sealed(stream: Path) -> bool:
    return any(stream.glob("*.sealed"))


def n_commits(folder: PipelineHome) -> int:
    return len(list((folder.predictions / "_delta_log").glob("*.json")))
