"""CPU seconds of one core for a million rows of 20 columns, and the size of the state."""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa

from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.drift import Counts, counts
from raypipe.monitoring.drift_evidence import Budget, DriftState, evidence, update
from raypipe.monitoring.reference import Reference

N_NUMERIC, N_CATEGORICAL, N_VALUES = 15, 5, 20


def rows(n_rows: int, seed: int) -> pa.Table:
    """Return seeded rows: 15 numbers, 2% missing, and 5 texts."""
    random = np.random.default_rng(seed)
    numbers = {
        f"x{i}": pa.array(random.normal(size=n_rows), mask=random.random(n_rows) < 0.02)
        for i in range(N_NUMERIC)
    }
    words = pa.array([f"value {i}" for i in range(N_VALUES)])
    texts = {
        f"c{i}": words.take(pa.array(random.integers(N_VALUES, size=n_rows))) for i in range(N_CATEGORICAL)
    }
    return pa.table(numbers | texts)


def cost(n_rows: int, window_rows: int) -> str:
    """Return a line of a table: seconds to count, to fold and judge every window, and bytes a feature."""
    training = rows(20_000, 0)
    reference = Reference.of(Profile.of_table(training), schema_columns(training.schema))
    live = rows(n_rows, 1)
    parts = [live.slice(start, window_rows) for start in range(0, n_rows, window_rows)]
    counts(reference, parts[0])
    started = time.process_time()
    counted = [counts(reference, one) for one in parts]
    binned = time.process_time()
    state = _folded(reference, counted)
    judged = time.process_time()
    n_bytes = len(json.dumps(state.to_json())) / len(reference.columns)
    return (
        f"| {n_rows:,} | {window_rows:,} | {binned - started:.2f} | {judged - binned:.2f} "
        f"| {n_bytes / 1024:.1f} |\n"
    )


HEAD = (
    "| rows | rows a window | CPU s to count | CPU s to fold and judge | state, kB a feature |\n"
    "|---|---|---|---|---|\n"
)


def _folded(reference: Reference, counted: list[Counts]) -> DriftState:
    state = DriftState()
    for one in counted:
        state = update(state, one)
        evidence(reference, state, Budget())
    return state
