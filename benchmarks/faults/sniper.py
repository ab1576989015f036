"""A process that follows the ledger closely and kills another the moment the nth entry of a kind is there.

    python -m benchmarks.faults.sniper DATABASE PIPELINE AFTER_SEQ KIND NTH DELAY_S PID

It is a process of its own, so that the load's threads do not hold it up. It prints the monotonic time of the
kill.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

LOOK_EVERY_S = 0.0005
_ROOT = Path(__file__).parents[2]


def main() -> None:
    """Wait, and kill."""
    database, pipeline, after_seq, kind, nth, delay_s, pid = sys.argv[1:]
    query = "SELECT 1 FROM raypipe_ledger WHERE pipeline = ? AND seq > ? AND kind = ? LIMIT 1 OFFSET ?"
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)
    while connection.execute(query, (pipeline, int(after_seq), kind, int(nth))).fetchone() is None:
        time.sleep(LOOK_EVERY_S)
    time.sleep(float(delay_s))
    os.kill(int(pid), signal.SIGKILL)
    sys.stdout.write(f"{time.monotonic()}\n")


def lie_in_wait(
    database: Path, pipeline: str, after_seq: int, kind: str, delay_s: float, pid: int, nth: int = 0
) -> subprocess.Popen[str]:
    """Start a sniper, who passes over `nth` entries; read the time of its kill from its output."""
    arguments = (database, pipeline, after_seq, kind, nth, delay_s, pid)
    command = [sys.executable, "-m", "benchmarks.faults.sniper", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)


if __name__ == "__main__":
    main()
