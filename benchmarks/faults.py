"""What a kill costs: each fault under a load of 16 connections against the quickstart's endpoint.

    .venv/bin/raypipe up configs/quickstart.yaml
    .venv/bin/python benchmarks/faults.py configs/quickstart.yaml

For each fault: requests sent and failed, the longest gap without an answer, and answers that are not in the
log exactly once after the committer's next round. The peer is the same load without a fault, in the same
run. Traffic goes to loopback only and stops by itself.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import psutil
from deltalake import DeltaTable

from raypipe.api.status import endpoint_spec
from raypipe.config.load import load_config
from raypipe.config.settings import Config
from raypipe.data.captured import PredictionRecord, decode
from raypipe.data.frames import read_frames
from raypipe.serving.golden import read_golden
from raypipe.serving.pointer import read_pointer

N_CONNECTIONS = 16
LOAD_S = 12.0
FAULT_AFTER_S = 4.0
SETTLE_S = 8.0


@dataclass
class Load:
    """Sixteen connections that ask without pause for a while."""

    url: str
    row: object
    n_failed: int = 0
    ids: list[str] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, seconds: float, fault: Callable[[], None] | None) -> None:
        """Ask for so long; the fault comes after a third of it."""
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self._ask, args=(end,)) for _ in range(N_CONNECTIONS)]
        for thread in threads:
            thread.start()
        time.sleep(FAULT_AFTER_S)
        if fault is not None:
            fault()
        for thread in threads:
            thread.join()

    def _ask(self, end: float) -> None:
        parts = urlsplit(self.url)
        body = json.dumps({"rows": [self.row]})
        headers = {"content-type": "application/json"}
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=35)
        while time.monotonic() < end:
            try:
                connection.request("POST", f"{parts.path}/predict", body, headers)
                response = connection.getresponse()
                self._took(response.status, response.read())
            except (OSError, HTTPException):
                connection.close()
                self._took(0, b"")
                time.sleep(0.01)

    def _took(self, status: int, data: bytes) -> None:
        with self.lock:
            if status == 200:
                self.ids.append(json.loads(data)["predictions"][0]["id"])
                self.answered_at.append(time.monotonic())
            else:
                self.n_failed += 1

    @property
    def longest_gap_s(self) -> float:
        times = sorted(self.answered_at)
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)


def kill(*words: str) -> Callable[[], None]:
    """Return a fault that kills the newest process whose command line has all words."""

    def fault() -> None:
        found = [
            process
            for process in psutil.process_iter(["cmdline", "create_time"])
            if all(word in " ".join(process.info["cmdline"] or ()) for word in words)
        ]
        if not found:
            raise SystemExit(f"no process has {words} in its command line; is the quickstart up?")
        os.kill(max(found, key=lambda process: process.info["create_time"]).pid, signal.SIGKILL)

    return fault


def not_once(config: Config, ids: list[str]) -> int:
    """Count the answers that are not in the table or the write-ahead log exactly once."""
    table = DeltaTable(str(config.folder.predictions))
    kept = Counter(table.to_pyarrow_table(columns=["id"])["id"].to_pylist())
    for segment in config.folder.wal.glob("*/*.*"):
        if segment.suffix in (".open", ".sealed"):
            records = [decode(one) for one in read_frames(segment.read_bytes()).payloads]
            kept.update(record.id for record in records if isinstance(record, PredictionRecord))
    return sum(kept[one] != 1 for one in ids)


def main() -> None:
    """Run all faults, one after another, and print the table."""
    config = load_config(sys.argv[1])
    url = endpoint_spec(config).url
    pointer = read_pointer(config.folder.pointer)
    if pointer is None:
        raise SystemExit("nothing is released; run `raypipe up` first.")
    row = read_golden(config.folder.model(pointer.version)).rows[0]
    faults = {
        "none": None,
        "replica": kill("ServeReplica", config.name),
        "controller": kill("_ControllerActor"),
        "committer": kill("_CommitterActor"),
        "Serve's controller": kill("ServeController"),
    }
    out = sys.stdout.write
    out("| kill -9 of | sent | failed | longest gap s | not in the log once |\n|---|---|---|---|---|\n")
    for name, fault in faults.items():
        load = Load(url, row)
        load.run(LOAD_S, fault)
        time.sleep(SETTLE_S)
        n_sent = len(load.ids) + load.n_failed
        wrong = not_once(config, load.ids)
        out(f"| {name} | {n_sent:,} | {load.n_failed} | {load.longest_gap_s:.2f} | {wrong} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
