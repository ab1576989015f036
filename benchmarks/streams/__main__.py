"""The command: `python -m benchmarks.streams table --sets bike`, and `mixed` for streams without drift."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.streams.sets import SETS
from benchmarks.streams.table import BESIDE, POLICIES, Cell, at_equal_fits, beside, loop


def main() -> None:
    """Run what was asked for, and print its table."""
    asked = _parser().parse_args()
    with TemporaryDirectory(prefix="raypipe-streams-") as home:
        place = Path(home)
        if asked.command == "table":
            lines = table(asked.sets, asked.delays, asked.policies, place)
        else:
            lines = mixed(asked.sets, asked.policies, asked.seeds, place)
        for line in lines:
            sys.stdout.write(line)
            sys.stdout.flush()


def table(sets: Sequence[str], delays: Sequence[int], policies: Sequence[str], home: Path) -> Iterator[str]:
    """Yield the lines of the table: each cell the fits, the first champion's too, and the score."""
    names = [*(one.name for one in BESIDE), *policies]
    yield f"| stream, score | delay | {' | '.join(names)} |\n|{'---|' * (2 + len(names))}\n"
    for name in sets:
        recorded = SETS[name]()
        known = list(beside(recorded, delays, home))
        for delay in delays:
            here = [one for one in known if one.delay == delay]
            own = [loop(recorded, delay, policy, POLICIES[policy], home)[0] for policy in policies]
            shown = [one for one in here if " from " not in one.policy]
            cells = [_text(one) for one in shown] + [_own_text(one, here) for one in own]
            yield f"| {name}, {recorded.metric} | {delay} | {' | '.join(cells)} |\n"


def mixed(sets: Sequence[str], policies: Sequence[str], seeds: int, home: Path) -> Iterator[str]:
    """Yield how many streams without drift, rows of a set in a random order, were ever retrained on."""
    yield f"| rows in a random order of | policy | streams | retrained on | retrains |\n|{'---|' * 5}\n"
    for name, policy in product(sets, policies):
        cells = [
            loop(SETS[name]().shuffled(seed), 0, policy, POLICIES[policy], home)[0]
            for seed in range(1, seeds + 1)
        ]
        n_fits = [one.n_fits - 1 for one in cells]
        yield f"| {name} | {policy} | {seeds} | {sum(n > 0 for n in n_fits)} | {sum(n_fits)} |\n"


def _text(cell: Cell) -> str:
    return f"{cell.n_fits} → {_score(cell.score)}"


def _own_text(cell: Cell, beside: Sequence[Cell]) -> str:
    """Return a cell of raypipe's, with what was released, and periodic retrains at as many fits."""
    periodic = _score(at_equal_fits(beside, cell.n_fits))
    return f"{_text(cell)} ({cell.n_released} released; periodic {periodic})"


def _score(value: float) -> str:
    return f"{value:.1f}" if value > 1 else f"{value:.3f}".removeprefix("0")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    cells = commands.add_parser("table", help="fits and score of each policy")
    cells.add_argument("--delays", type=int, nargs="+", default=[0, 1, 4], help="chunks until labels come")
    rest = commands.add_parser("mixed", help="streams without drift that are ever retrained on")
    rest.add_argument("--seeds", type=int, default=5)
    for one in (cells, rest):
        one.add_argument("--policies", nargs="+", choices=tuple(POLICIES), default=list(POLICIES))
        one.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS))
    return parser


if __name__ == "__main__":
    main()
