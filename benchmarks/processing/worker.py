"""The process in which one peer does the job: told on standard input, timed here.

A line of JSON `[source, target]` is one run; what it took, in seconds, is the line that comes back. The first
run imports what it needs; where the peer needs Ray, that is up before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.processing.peers import PEERS


def main(name: str) -> None:
    """Start Ray where the peer needs it, then run as often as told."""
    if PEERS[name].needs_ray:
        _start_ray()
    for line in sys.stdin:
        source, target = map(Path, json.loads(line))
        start = time.perf_counter()
        PEERS[name].load()(source, target)
        sys.stdout.write(f"{time.perf_counter() - start}\n")
        sys.stdout.flush()


def _start_ray() -> None:
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    import ray

    ray.init(address="local", num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)


if __name__ == "__main__":
    main(sys.argv[1])
