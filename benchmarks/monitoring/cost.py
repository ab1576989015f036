"""CPU seconds of one core for a million rows of 20 columns, the size of the state, and what peers take."""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.drift import Counts, counts
from raypipe.monitoring.drift_evidence import Budget, DriftState, evidence, update
from raypipe.monitoring.estimated import Expected, estimated
from raypipe.monitoring.harm import Budget as HarmBudget
from raypipe.monitoring.harm import Release, harm
from raypipe.monitoring.labelled_life import Change, LabelledLife
from raypipe.monitoring.life import Life
from raypipe.monitoring.reference import Reference

N_NUMERIC, N_CATEGORICAL, N_VALUES = 15, 5, 20
N_REFERENCE, COHORT_ROWS, STEP_ROWS = 20_000, 100, 500
Arrays = Mapping[str, npt.NDArray[np.float64] | npt.NDArray[np.int64]]


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


PEERS_HEAD = "| what | of 1,000,000 rows | CPU s | MB beside the rows | state, kB |\n|---|---|---|---|---|\n"


def arrays(n_rows: int) -> Arrays:
    """Return a reference and live rows, answered with a confidence that is right as often as it says."""
    random, found = np.random.default_rng(0), dict[str, npt.NDArray[np.float64] | npt.NDArray[np.int64]]()
    for part, n in (("reference", N_REFERENCE), ("live", n_rows)):
        numbers = random.normal(size=(n, N_NUMERIC))
        numbers[random.random(numbers.shape) < 0.02] = np.nan
        chance = random.beta(2, 2, size=n)
        found |= {
            f"{part}_numbers": numbers,
            f"{part}_texts": random.integers(N_VALUES, size=(n, N_CATEGORICAL)),
            f"{part}_chance": chance,
            f"{part}_truth": (random.random(n) < chance).astype(np.int64),
        }
    return found


def beside(n_rows: int, peers: Mapping[str, Path]) -> Iterator[str]:
    """Yield lines of a table: raypipe and then each peer, by the Python that has it, on the same rows."""
    made = arrays(n_rows)
    yield from (_line("raypipe", *one) for one in own(made))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, **made)  # type: ignore[arg-type]
        script = Path(__file__).with_name("cost_peers.py")
        for name, python in peers.items():
            command = ["taskset", "-c", "0", python, script, name, path]
            done = subprocess.run(command, check=True, capture_output=True, env={"OMP_NUM_THREADS": "1"})
            for task, (cpu_s, more_mb) in json.loads(done.stdout.splitlines()[-1]).items():
                yield _line(name, task, cpu_s, more_mb, None)


def own(made: Arrays) -> Iterator[tuple[str, float, float, float | None]]:
    """Yield each task with its CPU seconds, memory and state, as the controller's fold does it."""
    live = _table(made, "live")
    training = _table(made, "reference")
    reference = Reference.of(Profile.of_table(training), schema_columns(training.schema))
    started, before = time.process_time(), _peak_mb()
    life = Life().after(reference, live, STEP_ROWS)
    life.evidence(reference, Budget())
    n_bytes = len(json.dumps(life.to_json()))
    yield "drift of 20 columns", time.process_time() - started, _peak_mb() - before, n_bytes / 1024
    yield _harm(made)
    started, before = time.process_time(), _peak_mb()
    chance, truth = made["reference_chance"], made["reference_truth"]
    confidence = np.maximum(chance, 1 - chance)
    losses = ((chance > 0.5) != truth).astype(np.float64)
    expected = Expected.of_confidences(confidence, losses)
    estimated(expected, np.maximum(made["live_chance"], 1 - made["live_chance"]))
    yield "estimated accuracy", time.process_time() - started, _peak_mb() - before, None


def _harm(made: Arrays) -> tuple[str, float, float, float]:
    losses = ((made["live_chance"] > 0.5) != made["live_truth"]).astype(np.float64).tolist()
    release = {None: Release.of_classes(5_000, 20_000, HarmBudget())}
    started, before, life = time.process_time(), _peak_mb(), LabelledLife()
    for number in range(len(losses) // COHORT_ROWS):
        labelled = losses[number * COHORT_ROWS : (number + 1) * COHORT_ROWS]
        life = life.taken(float(number), COHORT_ROWS, release, 1.0)
        life = life.counted([Change(number, None, one, {}) for one in labelled], release)
    harm(life.harm, HarmBudget())
    n_bytes = len(json.dumps(life.to_json()))
    name = f"harm, {len(losses) // COHORT_ROWS:,} cohorts"
    return name, time.process_time() - started, _peak_mb() - before, n_bytes / 1024


def _table(made: Arrays, part: str) -> pa.Table:
    words = pa.array([f"value {i}" for i in range(N_VALUES)])
    numbers, texts = made[f"{part}_numbers"], made[f"{part}_texts"]
    columns = {f"x{i}": pa.array(numbers[:, i]) for i in range(N_NUMERIC)}
    columns |= {f"c{i}": words.take(pa.array(texts[:, i])) for i in range(N_CATEGORICAL)}
    return pa.table(columns)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _line(who: str, task: str, cpu_s: float, more_mb: float, state_kb: float | None) -> str:
    state = "" if state_kb is None else f"{state_kb:.1f}"
    return f"| {who} | {task} | {cpu_s:.2f} | {more_mb:,.0f} | {state} |\n"
