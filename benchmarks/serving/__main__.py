"""The command: which servers, how long, and the table."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving import model, ours
from benchmarks.serving.load import Count, Load, ask, median, wrk
from benchmarks.serving.servers import PEERS, NotInstalled, Server, python_of, started

OURS = "raypipe"
LOADS = (Load("one row", 32, 1), Load("alone", 1, 1), Load("many rows", 4, 1_000))
HEAD = (
    "| server | load | requests/s | rows/s | p50 ms | p99 ms | failed | raypipe gives | version |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def main() -> None:
    """Measure what was asked for, and print the table as it grows."""
    peers = {peer.key: peer for peer in PEERS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description="How fast it answers.")
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join((OURS, *peers))}")
    parser.add_argument("--port", type=int, default=8000, help="that they listen on, one after the other")
    parser.add_argument("--seconds", type=int, default=10, help="of each run of wrk")
    parser.add_argument("--tries", type=int, default=3)
    names_of_loads = [load.name for load in LOADS]
    parser.add_argument(
        "--load", action="append", choices=names_of_loads, help="only this one; all by default"
    )
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "raypipe-peers")
    asked = parser.parse_args()
    names = asked.servers or [OURS, *peers]
    unknown = [name for name in names if name not in (OURS, *peers)]
    if unknown:
        parser.error(f"SERVER must be one of {', '.join((OURS, *peers))}. Got {unknown[0]!r}.")
    wrk()
    loads = [load for load in LOADS if load.name in (asked.load or names_of_loads)]
    sys.stdout.write(f"{os.cpu_count()} CPUs, shared with wrk; {asked.tries} x {asked.seconds} s\n\n{HEAD}")
    best: Mapping[str, Count] = {}
    for name in names:
        try:
            with _server(name, asked.port, asked.venvs) as server:
                found = measure(server, loads, asked.seconds, asked.tries)
        except NotInstalled as error:
            sys.stdout.write(f"| {name} | not measured: {error} |\n")
            continue
        best = found if name == OURS else best
        sys.stdout.writelines(lines(server, found, best))
        sys.stdout.flush()


def measure(server: Server, loads: Sequence[Load], seconds: int, n_tries: int) -> Mapping[str, Count]:
    """Ask a server in each way, so many times after a second to warm up."""
    found: dict[str, Count] = {}
    with tempfile.TemporaryDirectory(prefix="rp-bodies-") as folder:
        for load in loads:
            bodies = model.write_bodies(Path(folder) / "bodies", server.template, load.rows)
            ask(server.url, bodies, load.connections, 1)
            counts = [ask(server.url, bodies, load.connections, seconds) for _ in range(n_tries)]
            found[load.name] = median(counts)
    return found


def lines(server: Server, found: Mapping[str, Count], ours: Mapping[str, Count]) -> Iterator[str]:
    """Yield a line of the table for each load."""
    for load in (load for load in LOADS if load.name in found):
        count = found[load.name]
        ratio = f"{ours[load.name].rate / count.rate:.1f} times" if load.name in ours and count.rate else ""
        yield (
            f"| {server.name} | {load.name} | {count.rate:,.0f} | {count.rate * load.rows:,.0f} "
            f"| {count.p50_us / 1e3:.2f} | {count.p99_us / 1e3:.2f} | {count.failed} | {ratio} "
            f"| {server.note} |\n"
        )


@contextmanager
def _server(name: str, port: int, venvs: Path) -> Iterator[Server]:
    if name == OURS:
        with ours.endpoint(port) as (server, _):
            yield server
        return
    [peer] = [peer for peer in PEERS if peer.key == name]
    with tempfile.TemporaryDirectory(prefix="rp-model-") as folder:
        model.trained(model.training_rows()).save(Path(folder))
        python = python_of(peer, venvs)
        with started(peer, python, Path(folder) / "model.ubj", port) as server:
            yield server


if __name__ == "__main__":
    main()
