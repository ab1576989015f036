from __future__ import annotations

import os
import subprocess
import sys

import pytest

from raypipe.core.background import NICENESS

LOOK = """
import os, threading
from pathlib import Path
from raypipe.core.background import in_background
stop = threading.Event()
before = threading.Thread(target=stop.wait)
before.start()
os.environ.pop("POLARS_MAX_THREADS", None)
in_background()
after = threading.Thread(target=stop.wait)
after.start()
ids = [int(one.name) for one in Path("/proc/self/task").iterdir()]
print(len(ids), *{os.getpriority(os.PRIO_PROCESS, id) for id in ids}, os.environ["POLARS_MAX_THREADS"])
stop.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process has one priority")
@pytest.mark.parametrize("more", [0, NICENESS + 4])
def test_all_threads_step_back_and_none_forward(more: int) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0) + more
    command = ["nice", "-n", str(more), sys.executable, "-c", LOOK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", str(max(before, NICENESS)), "1"]
