"""The command `python -m benchmarks.decay`: what streams cost that are retrained by expected cost, or else.

A stream is answered by a model whose mean loss depends on the row and on when the model was fitted; labels
come `LATE_ROWS` answers late. A fit is worth `PRICE` losses. Costs are losses above the level of a fresh
model, and fits, in losses per 1,000 rows. `periodic` fits as often as the trigger did, in equal steps;
`hindsight` is the period that cost least on the very streams, which nobody knows beforehand.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean
from typing import TypeAlias

import numpy as np

from raypipe.monitoring.decay import decay
from raypipe.stats.course import Course

WINDOW, PRICE, LATE_ROWS = 100, 100.0, 400
FRESH = 0.1
BOUND = FRESH + 0.02
"""The mean loss at release, and an upper bound of it as some thousand graded rows give one."""
Loss: TypeAlias = Callable[[int, int], float]
"""The mean loss of a row, by its number and that of the row before which its model was fitted."""
HEAD = """\
| stream | streams that ever ask | fits a stream | cost, trigger | periodic, as often | hindsight | never |
|---|---|---|---|---|---|---|
"""


def linear(row: int, fitted: int) -> float:
    return min(0.9, FRESH + 5e-6 * (row - fitted))


def seasons(row: int, fitted: int) -> float:
    """Rows of 30,000 are a year; a model is worst half a year after its fit."""
    return FRESH + 0.2 * (1 - math.cos(2 * math.pi * (row - fitted) / 30_000)) / 2


def changes(seed: int) -> Loss:
    """Return a stream whose concept changes for good every 15,000 rows on average."""
    random = np.random.default_rng(seed)
    at = random.exponential(15_000, 100).cumsum()

    def loss(row: int, fitted: int) -> float:
        return FRESH if np.searchsorted(at, row) == np.searchsorted(at, fitted) else 0.3

    return loss


STREAMS: dict[str, Callable[[int], Loss]] = {
    "no drift": lambda _: lambda *_: FRESH,
    "linear decay, 0.005 in 1,000 rows": lambda _: linear,
    "changes from 0.1 to 0.3": changes,
    "seasons, up to 0.3": lambda _: seasons,
}


@dataclass(frozen=True)
class Played:
    """What became of one stream."""

    n_fits: int
    cost: float
    """Losses per 1,000 rows."""


def played(loss: Loss, n_rows: int, seed: int, *, every: int | None = None) -> Played:
    """Play a stream, fitted by the trigger, or `every` so many rows."""
    random = np.random.default_rng(seed)
    n_fits, fitted, total = 0, 0, 0.0
    seen, course = list[float](), Course()
    for row in range(0, n_rows, WINDOW):
        seen.append(float(random.binomial(WINDOW, loss(row + WINDOW // 2, fitted))))
        total += seen[-1]
        matured = len(seen) - 1 - LATE_ROWS // WINDOW
        if matured >= 0:
            course = course.after(WINDOW).with_more(course.n_windows, WINDOW, seen[matured])
        asks = _asks(course, row + WINDOW - fitted) if every is None else row + WINDOW - fitted >= every
        if asks and row + WINDOW < n_rows:
            n_fits, fitted, seen, course = n_fits + 1, row + WINDOW, [], Course()
    return Played(n_fits, (total - FRESH * n_rows + PRICE * n_fits) / n_rows * 1_000)


def _asks(course: Course, n_rows: int) -> bool:
    shown = decay(course, n_rows, FRESH, BOUND)
    return shown is not None and shown.at_stake >= PRICE


def line(name: str, n_streams: int, n_rows: int) -> str:
    """Return the row of a table on one kind of streams."""
    losses = [STREAMS[name](seed) for seed in range(n_streams)]

    def cost(every: int) -> float:
        return mean(played(one, n_rows, seed, every=every).cost for seed, one in enumerate(losses))

    found = [played(one, n_rows, seed) for seed, one in enumerate(losses)]
    n_fits = mean(one.n_fits for one in found)
    as_often = mean(
        played(one, n_rows, seed, every=_period(n_rows, mine.n_fits)).cost
        for seed, (one, mine) in enumerate(zip(losses, found, strict=True))
    )
    hindsight = min((cost(every), every) for every in _periods(n_rows))
    asked = sum(one.n_fits > 0 for one in found)
    return (
        f"| {name} | {asked} of {n_streams} | {n_fits:.1f} | {mean(one.cost for one in found):.1f} | "
        f"{as_often:.1f} | {hindsight[0]:.1f} (every {hindsight[1]:,}) | {cost(n_rows):.1f} |\n"
    )


def _period(n_rows: int, n_fits: int) -> int:
    """Return the step in which so many fits are as far from each other as from both ends."""
    return max(WINDOW, round(n_rows / (n_fits + 1) / WINDOW) * WINDOW)


def _periods(n_rows: int) -> Iterator[int]:
    for n_fits in (1, 2, 4, 6, 8, 12, 16, 24, 32):
        yield _period(n_rows, n_fits)
    yield n_rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decay", description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rows", type=int, default=60_000)
    asked = parser.parse_args()
    sys.stdout.write(HEAD)
    for name in STREAMS:
        sys.stdout.write(line(name, asked.streams, asked.rows))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
