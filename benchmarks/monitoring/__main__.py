"""The command: `python -m benchmarks.monitoring false-alarms --streams 1000`, and the others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.monitoring import blocks, cost, false_alarms, late_labels, power


def main() -> None:
    """Run what was asked for, and print its table."""
    asked = _parser().parse_args()
    for line in _COMMANDS[asked.command](asked):
        sys.stdout.write(line)


def _false_alarms(asked: argparse.Namespace) -> Iterator[str]:
    yield false_alarms.HEAD
    if asked.peers:
        n_rows = asked.windows * asked.window_rows
        rows = false_alarms.peers(asked.features, asked.streams, n_rows, asked.peers)
    else:
        setting = false_alarms.Setting(
            asked.streams,
            asked.features,
            asked.windows,
            asked.window_rows,
            run_rows=asked.run_rows,
            whole_rows=asked.whole_rows,
        )
        rows = false_alarms.false_alarms(setting)
    yield from (row.line() for row in rows)


def _blocks(asked: argparse.Namespace) -> Iterator[str]:
    yield blocks.HEAD
    yield from blocks.table(asked.streams)


def _power(asked: argparse.Namespace) -> Iterator[str]:
    yield power.HEAD
    yield from (found.line() for found in power.power(asked.streams, asked.healthy, asked.peers))


def _late_labels(asked: argparse.Namespace) -> Iterator[str]:
    yield late_labels.HEAD
    yield from late_labels.table(asked.streams, asked.answers, asked.healthy)


def _cost(asked: argparse.Namespace) -> Iterator[str]:
    yield cost.HEAD
    yield cost.cost(asked.rows, asked.window_rows)


def _cost_beside(asked: argparse.Namespace) -> Iterator[str]:
    yield cost.PEERS_HEAD
    peers = {"evidently": asked.evidently, "nannyml": asked.nannyml}
    yield from cost.beside(asked.rows, {name: python for name, python in peers.items() if python})


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "false-alarms": _false_alarms,
    "blocks": _blocks,
    "power": _power,
    "late-labels": _late_labels,
    "cost": _cost,
    "cost-beside": _cost_beside,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    false = commands.add_parser("false-alarms", help="streams without drift that ever alarm")
    false.add_argument("--streams", type=int, default=1_000)
    false.add_argument("--features", type=int, default=20)
    false.add_argument("--windows", type=int, default=100)
    false.add_argument("--window-rows", type=int, default=10_000)
    false.add_argument("--run-rows", type=int, default=1, help="rows in a row that are one and the same")
    false.add_argument("--whole-rows", action="store_true", help="draw and bin rows, columns together")
    false.add_argument("--peers", type=Path, help="only river's: the Python of an environment with it")
    delays = commands.add_parser("power", help="rows from a change to its alarm")
    delays.add_argument("--streams", type=int, default=50)
    delays.add_argument("--healthy", type=int, default=20_000, help="rows before the change")
    delays.add_argument("--peers", type=Path, help="the Python of an environment with river")
    alike = commands.add_parser("blocks", help="recorded rows in runs, in their order, that ever alarm")
    alike.add_argument("--streams", type=int, default=100)
    late = commands.add_parser("late-labels", help="harm where labels come late, and errors later or sooner")
    late.add_argument("--streams", type=int, default=200)
    late.add_argument("--answers", type=int, default=30_000)
    late.add_argument("--healthy", type=int, default=20_000, help="answers before the change")
    seconds = commands.add_parser("cost", help="CPU seconds and bytes")
    seconds.add_argument("--rows", type=int, default=1_000_000)
    beside = commands.add_parser("cost-beside", help="CPU seconds and memory, and what peers take")
    beside.add_argument("--rows", type=int, default=1_000_000)
    beside.add_argument("--evidently", type=Path, help="the Python of an environment with it")
    beside.add_argument("--nannyml", type=Path, help="the Python of an environment with it")
    seconds.add_argument("--window-rows", type=int, default=10_000)
    return parser


if __name__ == "__main__":
    main()
