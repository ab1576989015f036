"""The command: which faults, how often, and the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.faults.place import quickstart
from benchmarks.faults.rows import HEAD, Measured, measure
from benchmarks.faults.special import Make, challenger, first_up, replica_of_two, stopped_of_two
from benchmarks.faults.strikes import FAULTS

SPECIAL = {
    "replica-of-two": replica_of_two,
    "stopped-of-two": stopped_of_two,
    "first-up": first_up,
    "challenger": challenger,
}
KILLS = {fault.name: fault for fault in FAULTS if not fault.is_peer}
PEERS = tuple(fault for fault in FAULTS if fault.is_peer)


def main() -> None:
    """Run what was asked for, and print the table as it grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description="What a kill costs.")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join((*KILLS, *SPECIAL))}")
    parser.add_argument("--port", type=int, default=8000, help="of the endpoint that it brings up")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--tries", type=int, default=3, help="of each fault; a peer has one")
    asked = parser.parse_args()
    names = asked.faults or [*KILLS, *SPECIAL]
    unknown = [name for name in names if name not in KILLS | SPECIAL]
    if unknown:
        parser.error(f"FAULT must be one of {', '.join((*KILLS, *SPECIAL))}. Got {unknown[0]!r}.")
    sys.stdout.write(HEAD)
    for found in _measured(names, partial(quickstart, asked.port, asked.connections), asked.tries):
        sys.stdout.write(found.line())
        sys.stdout.flush()


def _measured(names: Sequence[str], make: Make, n_tries: int) -> Iterator[Measured]:
    kills = [KILLS[name] for name in names if name in KILLS]
    if kills:
        with make() as place:
            retrains = {kill.retrains for kill in kills}
            for peer in PEERS:
                if peer.retrains in retrains:
                    yield measure(place, peer, 1)
            for kill in kills:
                yield measure(place, kill, n_tries)
    for name in names:
        if name in SPECIAL:
            yield from SPECIAL[name](make, n_tries)


if __name__ == "__main__":
    main()
