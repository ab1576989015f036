"""Unique keys: pieces of two million, their digests on the disk, then a small one looked up in all."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
import psutil

from raypipe.data.keys import RUN_ROWS, KeyStore
from raypipe.data.schema import Column
from raypipe.data.uniqueness import KeyIndex

FEW = 10_000


def keys(start: int, n_rows: int) -> pl.DataFrame:
    """Return texts such as `customer-17-00000017`; the last one of each piece is the first one's."""
    number = pl.int_range(start, start + n_rows)
    number = pl.when(number == start + n_rows - 1).then(start).otherwise(number)
    return pl.select(id=pl.format("customer-{}-{}", number % 97, number))


def measure(n_keys: int) -> dict[str, float]:
    """Return the seconds for all keys and for FEW more, and the most memory held, but for mapped files."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        index = KeyIndex(KeyStore(Path(folder), [Column("id", "category", nullable=False)]))
        total_s, n_repeated, peak = 0.0, 0, 0
        for number, start in enumerate(range(0, n_keys, RUN_ROWS)):
            piece = keys(start, min(RUN_ROWS, n_keys - start))
            begin = time.perf_counter()
            n_repeated += len(index.add(index.store.runs(f"p{number}", piece.height, [piece])))
            total_s += time.perf_counter() - begin
            held = process.memory_info()
            peak = max(peak, held.rss - held.shared)
        begin = time.perf_counter()
        n_found = len(index.add(index.store.runs("few", FEW, [keys(n_keys // 2, FEW)])))
        few_s = time.perf_counter() - begin
        n_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*.run"))
    return {
        "n_repeated": n_repeated,
        "total_s": total_s,
        "few_s": few_s,
        "n_found": n_found,
        "peak_mb": peak / 1e6,
        "disk_mb": n_bytes / 1e6,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]))) + "\n")
