"""The command: how many replicas, how many swaps, and the table.

Before each swap comes as long a time without one, in the same run: those are the peer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.faults.place import Place
from benchmarks.serving import model, ours
from benchmarks.serving.asking import Asked, Asking, settled_s, slowest_s
from raypipe.serving import client
from raypipe.serving.token import read_token

CONNECTIONS = 32
EVERY_S = 1.5
"""What is looked at after a swap, and as long before it."""
WARM_SWAPS = 5
HEAD = (
    "| replicas | swaps | sent | failed | answers/s | p99 ms | without | slowest ms | without "
    "| median of the slowest ms | without | all on the new one s, median | longest | MB before | after |\n"
    + "|---" * 15
    + "|\n"
)


@dataclass(frozen=True)
class Swap:
    """One change of the version: when it was asked for, what for, and what was asked meanwhile."""

    at: float
    version: str
    before: Sequence[Asked]
    """What was asked in as long a time before it."""
    answers: Sequence[Asked]


def main() -> None:
    """Measure what was asked for, and print the table as it grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swaps", description="What a swap costs.")
    parser.add_argument("--replicas", type=int, action="append", help="1 and 4 by default")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--every-s", type=float, default=EVERY_S, help="seconds before and after each swap")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--pause-ms", type=float, default=0.0, help="of each connection, after an answer")
    parser.add_argument("--port", type=int, default=8000)
    asked = parser.parse_args()
    sys.stdout.write(HEAD)
    for n_replicas in asked.replicas or [1, 4]:
        replicas = {"min": n_replicas, "max": n_replicas, "cpus": round(0.8 / n_replicas, 2)}
        with ours.endpoint(asked.port, replicas=replicas) as (server, place):
            body = model.body(server.template, 1)
            load = Asking(f"{place.url}/predict", body, asked.connections, pause_s=asked.pause_ms / 1e3)
            sys.stdout.write(line(n_replicas, *measure(place, load, asked.swaps, asked.every_s)))
            sys.stdout.flush()


def measure(place: Place, load: Asking, n_swaps: int, every_s: float) -> tuple[Sequence[Swap], float, float]:
    """Return the swaps, and the replicas' MB after the first ones and at last."""
    versions = (ours.register_model(place), "v2")
    load.start()
    swaps: list[Swap] = []
    before_mb = 0.0
    try:
        time.sleep(EVERY_S)
        for number in range(n_swaps):
            version = versions[number % 2]
            load.answers.clear()
            time.sleep(every_s)
            before = list(load.answers)
            load.answers.clear()
            at = time.monotonic()
            promote(place, version)
            time.sleep(every_s)
            swaps.append(Swap(at, version, before, list(load.answers)))
            if number + 1 == min(WARM_SWAPS, n_swaps):
                before_mb = resident_mb(place)
        return swaps, before_mb, resident_mb(place)
    finally:
        load.stop()


def promote(place: Place, version: str) -> None:
    """Ask the endpoint for a version, as `raypipe promote` does, without the start of a command."""
    token = read_token(place.config.root.operator_token)
    if token is None:
        raise SystemExit(f"{place.config.root.operator_token} holds no token; is the endpoint up?")
    client.release(place.url, "promote", {"version": version, "reason": "benchmark"}, token)


def resident_mb(place: Place) -> float:
    """Return the memory of the replicas' processes."""
    return sum(one.memory_info().rss for one in place.processes("ServeReplica")) / 1e6


def line(n_replicas: int, swaps: Sequence[Swap], before_mb: float, after_mb: float) -> str:
    """Return the line of the table."""
    peer = [one for swap in swaps for one in swap.before]
    answers = [one for swap in swaps for one in swap.answers]
    settled = [settled_s(swap.answers, swap.at, swap.version) for swap in swaps]
    spent_s = sum(swap.answers[-1].answered - swap.answers[0].answered for swap in swaps if swap.answers)
    cells = (
        n_replicas,
        len(swaps),
        f"{len(answers):,}",
        sum(one.status != 200 for one in answers),
        f"{len(answers) / spent_s:,.0f}",
        *(f"{p99_s(of) * 1e3:.1f}" for of in (answers, peer)),
        *(f"{slowest_s(of) * 1e3:.0f}" for of in (answers, peer)),
        f"{statistics.median(slowest_s(swap.answers) for swap in swaps) * 1e3:.0f}",
        f"{statistics.median(slowest_s(swap.before) for swap in swaps) * 1e3:.0f}",
        f"{statistics.median(settled):.2f}",
        f"{max(settled):.2f}",
        f"{before_mb:.0f}",
        f"{after_mb:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def p99_s(answers: Sequence[Asked]) -> float:
    """Return the 99th percentile of the time from a request to its answer."""
    return statistics.quantiles((one.answered - one.sent for one in answers), n=100)[98]


if __name__ == "__main__":
    main()
