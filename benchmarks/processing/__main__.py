"""The command: how many rows, which peers, and the table beside the goals."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.processing.compared import difference
from benchmarks.processing.job import write_rows
from benchmarks.processing.measured import Measured, measure
from benchmarks.processing.peers import PEERS

FEW_ROWS = 10_000
GOALS = (
    ("raypipe", "polars", 1.5),
    ("raypipe-ray", "sklearn", 0.6),
    ("raypipe-ray", "ray-chain", 0.15),
)
"""The first is to take at most so many times as long as the second."""
HEAD = (
    "| peer | rows | median s | first of 10,000 rows, s | idle MB | peak MB | features |\n"
    + "|---" * 7
    + "|\n"
)


def main() -> None:
    """Measure the peers that were asked for, one after the other, and print the table as it grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processing", description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}; all by default")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    names = asked.peers or list(PEERS)
    if unknown := [name for name in names if name not in PEERS]:
        parser.error(f"PEER must be one of {', '.join(PEERS)}. Got {unknown[0]!r}.")
    found: dict[str, Measured] = {}
    sys.stdout.write(HEAD)
    for one, said in run(names, asked.rows, asked.times):
        found[one.name] = one
        sys.stdout.write(_line(one, asked.rows, said))
        sys.stdout.flush()
    sys.stdout.writelines(ratios(found))


def run(names: Sequence[str], n_rows: int, n_times: int = 3) -> Iterator[tuple[Measured, str]]:
    """Yield what each peer took, and how its features compare with those of the first."""
    with tempfile.TemporaryDirectory(prefix="features-") as folder:
        place = Path(folder)
        warm_up, source = place / "few.parquet", place / "rows.parquet"
        write_rows(warm_up, FEW_ROWS)
        write_rows(source, n_rows)
        for name in names:
            one = measure(name, warm_up, source, place / name, n_times)
            in_order = PEERS[name].keeps_order and PEERS[names[0]].keeps_order
            first = name == names[0]
            yield one, "" if first else difference(place / names[0], place / name, in_order=in_order)


def ratios(found: Mapping[str, Measured]) -> Iterator[str]:
    """Yield a line for each goal of which both sides were measured."""
    for ours, theirs, goal in GOALS:
        if ours in found and theirs in found:
            ratio = found[ours].median_s / found[theirs].median_s
            yield f"{ours} / {theirs}: {ratio:.2f} (goal: at most {goal})\n"


def _line(one: Measured, n_rows: int, said: str) -> str:
    return (
        f"| {PEERS[one.name].title} | {n_rows:,} | {one.median_s:.2f} | {one.first_s:.2f} "
        f"| {one.idle_mb:,.0f} | {one.peak_mb:,.0f} | {said} |\n"
    )


if __name__ == "__main__":
    main()
