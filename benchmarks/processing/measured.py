"""One peer in a process of its own: how long it takes, and how much memory its processes hold together."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

_EVERY_S = 0.1
_MB = 1e6


@dataclass(frozen=True)
class Measured:
    """Wall seconds of each run after the first, and the peak over all of them."""

    name: str
    first_s: float
    """The first run in a fresh process, over few rows: it imports what is needed and starts workers."""
    times_s: tuple[float, ...]
    idle_mb: float
    """What was held before the measured runs."""
    peak_mb: float

    @property
    def median_s(self) -> float:
        return statistics.median(self.times_s)


def measure(name: str, warm_up: Path, source: Path, target: Path, n_times: int = 3) -> Measured:
    """Run a peer on few rows, then `n_times` on the source; the last run's files stay in the target."""
    with _worker(name) as worker:
        first = _run(worker, warm_up, target)
        tree = psutil.Process(worker.pid)
        idle = _held_bytes(tree)
        with _watched(tree) as peak:
            times = tuple(_run(worker, source, target) for _ in range(n_times))
    return Measured(name, first, times, idle / _MB, max(peak) / _MB)


@contextmanager
def _worker(name: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.processing.worker", name]
    folder = Path(__file__).parents[2]
    pipe, silent = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=silent, text=True, cwd=folder) as worker:
        yield worker


def _run(worker: subprocess.Popen[str], source: Path, target: Path) -> float:
    shutil.rmtree(target, ignore_errors=True)
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(json.dumps([str(source), str(target)]) + "\n")
    worker.stdin.flush()
    # Ray writes to standard output, too.
    for line in worker.stdout:
        if line.replace(".", "").strip().isdigit():
            return float(line)
    raise RuntimeError(f"{worker.args} ended with {worker.wait()}")


@contextmanager
def _watched(tree: psutil.Process) -> Iterator[list[float]]:
    held, done = [0.0], Event()

    def watch() -> None:
        while not done.wait(_EVERY_S):
            held.append(_held_bytes(tree))

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield held
    finally:
        done.set()
        watcher.join()
        held.append(_held_bytes(tree))


def _held_bytes(tree: psutil.Process) -> float:
    """Return the memory of a process and its descendants; what they share (Ray's objects) counts once."""
    return sum(map(_share_bytes, [tree, *tree.children(recursive=True)]))


def _share_bytes(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0.0
