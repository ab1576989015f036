"""The profile of 1 million rows of 20 columns on one core, beside the same questions asked of polars.

    POLARS_MAX_THREADS=1 taskset -c 0 .venv/bin/python benchmarks/column_profile.py

14 numbers of which 5% are null, three integers, two texts (of 50 and 1,000 values) and a moment. Both count
rows, nulls and distinct values, and find ends, mean, deviation and 5 quantiles; raypipe's profile is exact or
bounded where `raypipe.data.profile` says so, and adds up with others to the bit; that of polars does not.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from raypipe.data.profile import Profile

_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


@dataclass(frozen=True)
class Result:
    """Median seconds."""

    raypipe_s: float
    polars_s: float

    @property
    def ratio(self) -> float:
        """How many times as long raypipe takes."""
        return self.raypipe_s / self.polars_s


def rows(n_rows: int, seed: int = 0) -> pa.Table:
    """Return seeded rows."""
    random = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {
        f"x{i}": pa.array(random.normal(i, 1 + i, n_rows), mask=random.random(n_rows) < 0.05)
        for i in range(14)
    }
    for i, bound in enumerate((10, 5_000, 10**9)):
        columns[f"i{i}"] = pa.array(random.integers(0, bound, n_rows))
    for i, n_texts in enumerate((50, 1000)):
        texts = pa.array([f"value-{code}" for code in range(n_texts)])
        columns[f"c{i}"] = texts.take(pa.array(random.integers(0, n_texts, n_rows)))
    columns["t"] = pa.array(1_704_067_200_000_000 + random.integers(0, 10**13, n_rows), pa.timestamp("us"))
    return pa.table(columns)


def measure(n_rows: int = 1_000_000, n_times: int = 3) -> Result:
    """Ask both about the same rows."""
    table = rows(n_rows)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return Result(
        _median_s(lambda: Profile.of_table(table), n_times), _median_s(lambda: _by_polars(frame), n_times)
    )


def _by_polars(frame: pl.DataFrame) -> object:
    asked = []
    for name, type in frame.schema.items():
        column, ask = pl.col(name), [pl.Expr.null_count, pl.Expr.n_unique, pl.Expr.min, pl.Expr.max]
        if type != pl.String:
            column, ask = column.to_physical(), [*ask, pl.Expr.mean, pl.Expr.std]
            asked += [column.quantile(q).alias(f"{name} {q}") for q in _QUANTILES]
        asked += [one(column).alias(f"{name} {one.__name__}") for one in ask]
    return frame.lazy().select(asked).collect()


def _median_s(call: Callable[[], object], n_times: int) -> float:
    times = []
    for _ in range(n_times):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    found = measure()
    sys.stdout.write(
        f"raypipe {found.raypipe_s:.2f} s, polars {found.polars_s:.2f} s, {found.ratio:.2f} times as long\n"
    )
