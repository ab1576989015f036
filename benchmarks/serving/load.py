"""Asking without pause, by wrk: a load generator in C that leaves the CPU to the server."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).parent / "post.lua"


@dataclass(frozen=True)
class Load:
    """How hard to ask: `bodies` are sent in turn, each of so many rows."""

    name: str
    connections: int
    rows: int


@dataclass(frozen=True)
class Count:
    """What one run of wrk counted; latencies are of all requests, failed ones too."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    max_us: int
    failed: int
    """Without an answer, or answered with another status than 2xx."""

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return (self.requests - self.failed) / self.seconds


def wrk() -> str:
    """Return where wrk lies; SystemExit with what to do where it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("wrk is not installed: `apt-get install wrk`, or github.com/wg/wrk.")
    return found


def ask(url: str, bodies: Path, connections: int, seconds: int) -> Count:
    """Post the lines of a file to `url` for so many seconds."""
    line = [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT), url]
    done = subprocess.run([*line, "--", str(bodies)], capture_output=True, text=True, check=True)
    return read_count(done.stdout)


def read_count(output: str) -> Count:
    """Return the counts that `post.lua` printed among wrk's own words."""
    [found] = [line for line in output.splitlines() if line.startswith("{")]
    return Count(**json.loads(found))


def median(counts: Sequence[Count]) -> Count:
    """Return the median of each count; failures are summed."""
    return Count(
        requests=round(statistics.median(one.requests for one in counts)),
        seconds=statistics.median(one.seconds for one in counts),
        p50_us=round(statistics.median(one.p50_us for one in counts)),
        p99_us=round(statistics.median(one.p99_us for one in counts)),
        max_us=max(one.max_us for one in counts),
        failed=sum(one.failed for one in counts),
    )
