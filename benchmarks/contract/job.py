"""The rows, and the run of one peer. Needs only polars, so that it runs in the environment of each."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import psutil

SHOPS = [f"s{number:02d}" for number in range(50)]
CODE = "[a-z][0-9]{3}"
RULES = ("unique", "range", "allowed", "pattern", "order")
_EVERY_S = 0.01


def rows(n_rows: int) -> pl.DataFrame:
    """Return rows of which about one in a thousand breaks each rule."""
    number = pl.int_range(n_rows)
    odd = number % 1000
    start = (number * 7919) % 100_000
    return pl.select(
        id=pl.when((odd == 500) & (number > 0)).then(number - 1).otherwise(number),
        amount=pl.when(odd == 1).then(-1.0).otherwise(((number * 104_729) % 1_000_000) / 1000),
        shop=pl.when(odd == 2)
        .then(pl.lit("other"))
        .otherwise("s" + (number % 50).cast(pl.String).str.zfill(2)),
        code=pl.when(odd == 3).then(pl.lit("99")).otherwise("a" + (odd).cast(pl.String).str.zfill(3)),
        start=start,
        end=pl.when(odd == 4).then(start - 1).otherwise(start + odd),
    )


def main(check: Callable[[pl.DataFrame], Mapping[str, int]]) -> None:
    """Check the rows of a Parquet file as often as told; write what was found and took as JSON."""
    source, n_times = Path(sys.argv[1]), int(sys.argv[2])
    frame = pl.read_parquet(source)
    process, peak, done = psutil.Process(), [0], threading.Event()
    idle = process.memory_info().rss

    def watch() -> None:
        while not done.wait(_EVERY_S):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    times, found = [], dict[str, int]()
    for _ in range(n_times):
        begin = time.perf_counter()
        found = dict(check(frame))
        times.append(time.perf_counter() - begin)
    done.set()
    watcher.join()
    told = {"found": found, "times_s": times, "peak_mb": (peak[0] - idle) / 1e6}
    sys.stdout.write(json.dumps(told) + "\n")
