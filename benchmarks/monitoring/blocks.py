"""False alarms on recorded rows that resemble their neighbours: weeks of a file's own rows, in their order.

The reference is of a file's first 8,000 rows; a stream is made of weeks of these rows, drawn at random, so
that nothing drifts, and neighbours are as alike as they were. How many of the streams ever alarm, by what is
taken for the number of rows that tell as much as one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.drift_evidence import Budget
from raypipe.monitoring.life import MIN_HEALTHY, Life, alike_in_order
from raypipe.monitoring.reference import Reference
from raypipe.stats.proportions import clopper_pearson

SETS = {
    "elec2": ("period", "nswprice", "nswdemand", "vicdemand", "day"),
    "bike_sharing_hourly": ("hr", "workingday", "temp", "hum", "windspeed", "weathersit"),
}
RUN_ROWS = {"elec2": 336, "bike_sharing_hourly": 168}
N_REFERENCE, N_WINDOWS, STEP_ROWS = 8_000, 60, 500
HEAD = "| rows of | rows alike | streams with any alarm | exact 95% interval |\n|---|---|---|---|\n"


def table(n_streams: int) -> Iterator[str]:
    """Yield a line for each file and way to tell how many rows are alike."""
    folder = Path(os.environ["RAYPIPE_TEST_DATA"])
    for name, columns in SETS.items():
        rows = pq.read_table(folder / f"{name}.parquet").sort_by("ts").slice(0, N_REFERENCE).select(columns)
        reference = Reference.of(Profile.of_table(rows), schema_columns(rows.schema))
        ways: dict[str, Callable[[Life], Mapping[str, float]]] = {
            "as training rows in order show": partial(_always, alike_in_order(reference, rows)),
            "as the first live windows show": partial(_live, reference),
            "none: each row for itself": partial(_always, dict.fromkeys(columns, 1.0)),
        }
        found = [_alarmed(rows, reference, RUN_ROWS[name], ways, nth) for nth in range(n_streams)]
        for way in ways:
            n = sum(one[way] for one in found)
            low, high = clopper_pearson(n, n_streams)
            yield f"| {name} | {way} | {n} of {n_streams} | {low:.1%} to {high:.1%} |\n"


def _alarmed(
    rows: pa.Table,
    reference: Reference,
    run_rows: int,
    ways: Mapping[str, Callable[[Life], Mapping[str, float]]],
    nth: int,
) -> dict[str, bool]:
    random, life, found = np.random.default_rng(nth), Life(), dict.fromkeys(ways, False)
    n_runs = -(-N_WINDOWS * STEP_ROWS // run_rows)
    starts = run_rows * random.integers(rows.num_rows // run_rows, size=n_runs)
    at = np.concatenate([(start + np.arange(run_rows)) % rows.num_rows for start in starts])
    for window in range(N_WINDOWS):
        live = rows.take(at[window * STEP_ROWS : (window + 1) * STEP_ROWS])
        life = life.after(reference, live, STEP_ROWS)
        for way, alike in ways.items():
            known = alike(life)
            if known and not found[way]:
                evidence = life.evidence(reference, Budget(tolerance=0.0), known)
                found[way] = any(one.drifted for one in evidence)
    return found


def _always(known: Mapping[str, float], _: Life) -> Mapping[str, float]:
    return known


def _live(reference: Reference, life: Life) -> Mapping[str, float]:
    """Return what the live windows tell; nothing is asked before there are enough."""
    if life.alike is None or life.drift.tests.n_windows < MIN_HEALTHY:
        return {}
    return {one.column.name: n for one, n in zip(reference.columns, life.alike, strict=True)}
