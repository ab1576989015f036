"""Streams of real rows, drawn with replacement, as counts by window.

The bins of a column are those of a reference of drawn rows, as of a trained version. Rows that are drawn
with replacement fall into the bins of a column as a multinomial with the shares of the whole file, so that a
window of any number of rows takes one draw of counts: the same distribution as drawing and binning the rows.
Between columns the counts are drawn independently; what e-BH promises holds for any dependence.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.drift import counts
from raypipe.monitoring.drift_evidence import Budget, bound, compared
from raypipe.monitoring.reference import Reference
from raypipe.stats.multinomial import Against
from raypipe.stats.starts import is_alive, log_life, log_recent

FILES = {
    "elec2": ("ts", "date"),
    "bank_full": (),
    "adult_train": (),
    "chicago_taxi_tfx": ("trip_start_datetime",),
    "bike_sharing_hourly": ("ts", "dteday", "instant"),
    "kddcup99_10pct": (),
}
"""Files of real rows, and the columns that move on by themselves."""
N_POPULATION = 15_000
Floats = npt.NDArray[np.float64]


def population(n_features: int) -> pa.Table:
    """Return that many columns of real rows, each file's drawn once to an equal number of rows."""
    folder = Path(os.environ["RAYPIPE_TEST_DATA"])
    random, columns = np.random.default_rng(0), {}
    for name, left_out in FILES.items():
        table = pq.read_table(folder / f"{name}.parquet")
        table = table.take(random.choice(table.num_rows, N_POPULATION, replace=False))
        columns |= {f"{name}.{one}": table[one] for one in table.column_names if one not in left_out}
    if len(columns) < n_features:
        raise ValueError(f"there are {len(columns)} features in all. Asked for {n_features}.")
    at = np.linspace(0, len(columns) - 1, n_features).round().astype(int)
    return pa.table({list(columns)[i]: list(columns.values())[i] for i in at})


@dataclass(frozen=True)
class Stream:
    """A reference, and the shares by its bins of the rows that it was drawn from."""

    reference: Reference
    shares: tuple[Floats, ...]

    @classmethod
    def of(cls, rows: pa.Table, n_reference: int, random: np.random.Generator) -> Stream:
        """Draw a reference from rows."""
        drawn = rows.take(random.integers(rows.num_rows, size=n_reference))
        reference = Reference.of(Profile.of_table(drawn), schema_columns(drawn.schema))
        counted = counts(reference, rows)
        return cls(reference, tuple(np.array(one) / rows.num_rows for one in counted.columns))

    def windows(self, n_windows: int, n_rows: int, random: np.random.Generator) -> list[Floats]:
        """Return counts by window for each column, shape (n_windows, n_bins)."""
        return [random.multinomial(n_rows, one, size=n_windows).astype(np.float64) for one in self.shares]


def evidence_by_window(reference: Reference, windows: list[Floats], budget: Budget) -> tuple[Floats, Floats]:
    """Return log evidence, for life and recent, after each window, shapes (n_windows, n_columns).

    As `raypipe.monitoring.drift_evidence` folds windows one by one, which a test compares; here all at once.
    """
    n = len(windows[0])
    life, recent = (np.empty((n, len(windows))) for _ in range(2))
    pairs = [(t, start) for t in range(n) for start in range(t + 1) if is_alive(start, t)]
    ends, starts = np.array(pairs).T
    frozen = [compared(one, one.counts) for one in reference.columns]
    for width in {len(one) for one in frozen}:
        at = [i for i, one in enumerate(frozen) if len(one) == width]
        columns = [reference.columns[i] for i in at]
        bounds = [bound(one, len(windows), budget) for one in columns]
        against = Against.of([frozen[i] for i in at], bounds)
        live = [np.stack(compared(columns[j], windows[i].T), -1) for j, i in enumerate(at)]  # type: ignore[arg-type]
        totals = np.stack(live, 1).cumsum(0)
        before = np.concatenate([np.zeros_like(totals[:1]), totals])
        logs = against.log_evidence((totals[ends] - before[starts]) / budget.n_alike)
        for t in range(n):
            rows = np.flatnonzero(ends == t)
            life[t, at] = log_life(logs[rows], starts[rows].tolist())
            recent[t, at] = log_recent(logs[rows])
    return life, recent
