"""A day of the committer in a fraction of the time: 17,280 commits of what a replica answered.

A commit that is due every 5 s is made every `--every-s` instead, and the tables keep their log and their
removed files for so much less than two hours. Afterwards each record must be there once. Told for each hour
of the day: what a commit took, the entries of the log and its size, files, checkpoints and merges.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from raypipe.core.clock import SystemClock
from raypipe.core.home import Home, PipelineHome
from raypipe.data import committer
from raypipe.data.captured import LabelRecord, PredictionRecord, encode
from raypipe.data.committer import commit_once, read_labels, read_predictions
from raypipe.data.table import held_files
from raypipe.data.wal import WalWriter

DAY, HOUR, EVERY_S = 17_280, 720, 5.0
RETENTION_S = 7_200
ANSWERS, LABELS = 50, 5
"""A commit."""
AT = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = (
    "| hour | p50 ms | p99 ms | max ms | log entries | log kB | files | on disk | checkpoints | merges |\n"
    + "|---" * 10
    + "|\n"
)


@dataclass
class Hour:
    """What happened in 720 commits."""

    took_ms: list[float] = field(default_factory=list)
    n_merges: int = 0
    n_checkpoints: int = 0


def main() -> None:
    """Run the day, print a line an hour, and check that nothing is lost or there twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commits", description=__doc__)
    parser.add_argument("--commits", type=int, default=DAY)
    parser.add_argument("--every-s", type=float, default=0.05)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="commits-") as place:
        sys.stdout.write(HEAD)
        for line in day(Path(place), asked.commits, asked.every_s):
            sys.stdout.write(line)
            sys.stdout.flush()


def day(
    place: Path, n_commits: int, every_s: float, before: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Yield a line an hour, and last what is in the tables; `before` is called before each commit."""
    folder = Home(place).pipeline("day")
    keep = f"interval {max(1, round(RETENTION_S * every_s / EVERY_S))} seconds"
    usual, committer.RETENTION = committer.RETENTION, dict.fromkeys(committer.RETENTION, keep)
    try:
        yield from _day(folder, n_commits, every_s, before)
    finally:
        committer.RETENTION = usual


def _day(folder: PipelineHome, n_commits: int, every_s: float, before: Callable[[], None]) -> Iterator[str]:
    log = WalWriter(folder.wal, "replica", SystemClock())
    log.open()
    hour, checkpoints, steps = Hour(), set[str](), list[str]()
    for number in range(n_commits):
        before()
        began = time.perf_counter()
        log.append_all(_records(number))
        log.seal()
        took = time.perf_counter()
        commit_once(folder, on_step=steps.append)
        hour.took_ms.append((time.perf_counter() - took) * 1e3)
        hour.n_merges += steps.count("compacted")
        steps.clear()
        found = _checkpoints(folder)
        hour.n_checkpoints += len(found - checkpoints)
        checkpoints = found
        if (number + 1) % HOUR == 0:
            yield _line((number + 1) // HOUR, hour, folder)
            hour = Hour()
        time.sleep(max(0.0, every_s - (time.perf_counter() - began)))
    log.close()
    commit_once(folder)
    yield _checked(folder, n_commits)


def _records(number: int) -> list[bytes]:
    ids = [f"p{number}-{i}" for i in range(ANSWERS)]
    answers = [
        encode(PredictionRecord(id, AT, "v1", "champion", '{"x":1,"shop":"shop-17"}', "UP", (0.25, 0.75)))
        for id in ids
    ]
    return [*answers, *(encode(LabelRecord(id, "DOWN", AT)) for id in ids[:LABELS])]


def _checkpoints(folder: PipelineHome) -> set[str]:
    return {str(path) for path in folder.predictions.glob("_delta_log/*.checkpoint*.parquet")}


def _line(number: int, hour: Hour, folder: PipelineHome) -> str:
    p50, p99, most = np.percentile(hour.took_ms, [50, 99, 100])
    log = list(folder.predictions.glob("_delta_log/*"))
    n_files = len(list(folder.predictions.glob("*.parquet")))
    n_held, log_kb = len(held_files(folder.predictions)), sum(path.stat().st_size for path in log) / 1e3
    return (
        f"| {number} | {p50:.1f} | {p99:.1f} | {most:.0f} | {len(log):,} | {log_kb:,.0f} | {n_held:,} "
        f"| {n_files:,} | {hour.n_checkpoints} | {hour.n_merges} |\n"
    )


def _checked(folder: PipelineHome, n_commits: int) -> str:
    predictions, labels = read_predictions(folder)["id"].to_pylist(), read_labels(folder)
    wanted = [f"p{number}-{i}" for number in range(n_commits) for i in range(ANSWERS)]
    if predictions != wanted or labels.num_rows != n_commits * LABELS:
        raise RuntimeError(f"{len(set(predictions)):,} of {len(wanted):,} answers are in the table once")
    return f"\n{len(wanted):,} answers and {labels.num_rows:,} labels, each once and in order\n"


if __name__ == "__main__":
    main()
