"""What a promotion and a rollback take a person under load, and what they cost the endpoint's clients.

    .venv/bin/raypipe up configs/quickstart.yaml
    .venv/bin/python -m benchmarks.releases configs/quickstart.yaml v2

VERSION is registered and not the champion; the champion of before is the champion again at the end. Sixteen
connections ask all the while. The peer, in turn with the others, is `raypipe history`: a command that starts
and reads, and changes nothing.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.load import Load, longest_gap_s
from raypipe.api.status import endpoint_spec
from raypipe.config.load import load_config
from raypipe.serving.golden import read_golden
from raypipe.serving.pointer import read_pointer

N_TRIES = 5
PEER = "history"
RAYPIPE = (sys.executable, "-c", "from raypipe.cli.main import main; main()")


@dataclass(frozen=True)
class Measured:
    """Seconds of each command, in order, and what became of the requests meanwhile."""

    seconds: Mapping[str, Sequence[float]]
    n_sent: int
    n_failed: int
    longest_gap_s: float


def measure(config_file: str, version: str, n_tries: int) -> Measured:
    """Promote a version and roll back, so many times, beside a load and the peer."""
    config = load_config(config_file)
    pointer = read_pointer(config.folder.pointer)
    if pointer is None:
        raise SystemExit("nothing is released; run `raypipe up` first.")
    load = Load(endpoint_spec(config).url, read_golden(config.folder.model(pointer.version)).rows[0])
    load.start()
    seconds: dict[str, list[float]] = {PEER: [], "promote": [], "rollback": []}
    try:
        for _ in range(n_tries):
            for command, *more in ((PEER,), ("promote", version), ("rollback",)):
                seconds[command].append(_took_s(command, *more, str(Path(config_file))))
    finally:
        load.stop()
    return Measured(seconds, load.n_sent, load.failures.total(), longest_gap_s(load.times))


def lines(found: Measured) -> Sequence[str]:
    """Return the table."""
    peer_s = statistics.median(found.seconds[PEER])
    rows = [
        f"| `raypipe {command}` | {statistics.median(each):.2f} | {max(each):.2f} "
        f"| {statistics.median(each) / peer_s:.1f} |"
        for command, each in found.seconds.items()
    ]
    head = (f"| under load | median s | longest s | times `{PEER}` |", "|---|---|---|---|")
    told = (
        f"{found.n_sent:,} requests, {found.n_failed} failed, longest gap between answers "
        f"{found.longest_gap_s:.2f} s"
    )
    return (*head, *rows, told)


def _took_s(*arguments: str) -> float:
    began = time.monotonic()
    subprocess.run([*RAYPIPE, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.stdout.write("\n".join((*lines(measure(sys.argv[1], sys.argv[2], N_TRIES)), "")))
