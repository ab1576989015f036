"""Work that nobody waits for steps back behind the endpoint, on whose cores it runs."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

NICENESS = 5
"""Of three parts of a contested core, two and more are the endpoint's, and yet the work goes on."""
_THREADS = Path("/proc/self/task")


@lru_cache(maxsize=1)
def in_background() -> None:
    """Lower the priority of this process, and keep polars to one thread where it is not imported yet.

    Ray bounds the threads of OpenMP only. A process that has a lower priority already, as all workers have in
    a Ray that raypipe did not start, keeps it.
    """
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    # On Linux each thread has a priority of its own; 0 is the process elsewhere.
    threads = [int(one.name) for one in _THREADS.iterdir()] if _THREADS.exists() else [0]
    for thread in threads:
        try:
            if os.getpriority(os.PRIO_PROCESS, thread) < NICENESS:
                os.setpriority(os.PRIO_PROCESS, thread, NICENESS)
        except ProcessLookupError:
            continue  # It has ended in between.
