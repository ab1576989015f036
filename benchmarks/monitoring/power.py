"""How many rows pass from a change to its alarm, beside what others use, on the same streams.

A stream is a column of real rows drawn with replacement, healthy first and changed then; it counts as one of
20 features. A detector that alarms while all is well is called false there; its delay after the change is
that of its first alarm after it.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import ks_2samp

from benchmarks.monitoring.streams import Floats, evidence_by_window, population
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring import harm
from raypipe.monitoring.drift import counts
from raypipe.monitoring.drift_evidence import Budget
from raypipe.monitoring.reference import Reference
from raypipe.stats.shift import psi

N_FEATURES, N_REFERENCE, WINDOW, N_CHANGED, LABELS = 20, 10_000, 100, 20_000, 20
SHIFTS = (0.1, 0.25, 0.5, 1.0)
NUMBER, CATEGORY, GONE = "elec2.nswdemand", "bank_full.marital", "divorced"
Alarms = Sequence[tuple[int | None, int | None]]
"""For each stream, the row of the first alarm and of the first one after the change."""
Alarm = Callable[["Streams", int], tuple[int | None, int | None]]


@dataclass(frozen=True)
class Streams:
    """What is drawn: a reference, and rows of which the first `n_healthy` are like it."""

    name: str
    reference: Sequence[object]
    rows: Sequence[Sequence[object]]
    n_healthy: int

    @property
    def numbers(self) -> Floats:
        """The rows as numbers: standardised by the reference, or whether it is the category that goes."""
        if isinstance(self.reference[0], str):
            return np.array([[one == GONE for one in of] for of in self.rows], np.float64)
        known = np.array(self.reference, float)
        return (np.array(self.rows, float) - known.mean()) / known.std()


@dataclass(frozen=True)
class Row:
    """How one detector did on the streams of one change."""

    change: str
    detector: str
    n_streams: int
    n_false: int
    n_found: int
    median: float | None

    def line(self) -> str:
        delay = "-" if self.median is None else f"{self.median:,.0f}"
        return (
            f"| {self.change} | {self.detector} | {delay} | {self.n_found} of {self.n_streams} "
            f"| {self.n_false} of {self.n_streams} |\n"
        )


HEAD = (
    "| change | detector | median rows to alarm | found within 20,000 | false before it |\n"
    "|---|---|---|---|---|\n"
)


def power(n_streams: int, n_healthy: int, peers: Path | None) -> Iterator[Row]:
    """Yield a row for each change and detector; river's only with the Python of its environment."""
    drawn = [*_features(n_streams, n_healthy)]
    errors = _errors(n_streams, n_healthy)
    arrays = {one.name: one.numbers for one in drawn} | {"errors .10 to .20": errors}
    theirs = _peers(arrays, n_healthy, peers)
    for one in drawn:
        found = {name: [alarm(one, i) for i in range(n_streams)] for name, alarm in OURS.items()}
        yield from _rows(one.name, {**found, **theirs.get(one.name, {})}, n_healthy)
    yield from _rows("errors .10 to .20", {**_harm(errors), **theirs.get("errors .10 to .20", {})}, n_healthy)


def _features(n_streams: int, n_healthy: int) -> Iterator[Streams]:
    table = population(100)
    values = np.array(table[NUMBER].to_pylist(), float)
    texts = np.array(table[CATEGORY].to_pylist())
    for shift in (*SHIFTS, None):
        random = np.random.default_rng(0)
        pool = texts if shift is None else values
        later = pool[pool != GONE] if shift is None else pool + (shift or 0) * pool.std()
        rows = [
            [*random.choice(pool, n_healthy).tolist(), *random.choice(later, N_CHANGED).tolist()]
            for _ in range(n_streams)
        ]
        name = f"{GONE} (12%) vanishes" if shift is None else f"shift by {shift} sd"
        yield Streams(name, random.choice(pool, N_REFERENCE).tolist(), rows, n_healthy)


def _errors(n_streams: int, n_healthy: int) -> Floats:
    random = np.random.default_rng(1)
    chances = np.repeat([0.1, 0.2], [n_healthy, N_CHANGED])
    return np.asarray(random.random((n_streams, len(chances))) < chances, np.float64)


def _counted(streams: Streams, nth: int, window: int) -> tuple[Reference, Floats]:
    """Return the reference, and the counts of each window of one stream, shape (n_windows, n_bins)."""
    known, rows = (pa.table({"x": list(one)}) for one in (streams.reference, streams.rows[nth]))
    reference = Reference.of(Profile.of_table(known), schema_columns(known.schema))
    parts = range(0, rows.num_rows, window)
    found = [counts(reference, rows.slice(start, window)).columns[0] for start in parts]
    return reference, np.array(found, float)


def _evidence(budget: Budget, threshold: float, recent: bool) -> Alarm:
    def alarm(streams: Streams, nth: int) -> tuple[int | None, int | None]:
        reference, windows = _counted(streams, nth, WINDOW)
        logs = _as_one_of(reference, windows, budget)[int(recent)]
        return _first(logs >= math.log(N_FEATURES) + threshold, WINDOW, streams.n_healthy)

    return alarm


def _as_one_of(reference: Reference, windows: Floats, budget: Budget) -> tuple[Floats, Floats]:
    """Return log evidence of one column, with the share of the reference's error that one of 20 has."""
    others = Budget(budget.alpha / N_FEATURES, budget.reference_ratio, budget.tolerance)
    life, recent = evidence_by_window(reference, [windows], others)
    return life[:, 0], recent[:, 0]


def _ks(streams: Streams, nth: int) -> tuple[int | None, int | None]:
    window, rows = 500, streams.numbers[nth]
    if isinstance(streams.reference[0], str):
        return None, None
    known = np.array(streams.reference, float)
    known = (known - known.mean()) / known.std()
    parts = rows.reshape(-1, window)
    far = np.array([ks_2samp(one, known, method="asymp").pvalue < 0.05 / N_FEATURES for one in parts])
    return _first(far, window, streams.n_healthy)


def _psi(least: float) -> Alarm:
    def alarm(streams: Streams, nth: int) -> tuple[int | None, int | None]:
        reference, windows = _counted(streams, nth, WINDOW)
        totals = windows.cumsum(0)
        newest = totals - np.concatenate([np.zeros_like(totals[:20]), totals[:-20]])
        known = reference.columns[0].counts
        far = np.array([(psi(one, known) or 0.0) > least for one in newest.tolist()])
        far[:2] = False  # fewer than the 200 rows that it asks for
        return _first(far, WINDOW, streams.n_healthy)

    return alarm


_LIFE = math.log(1 / (0.05 * 0.8))
OURS: Mapping[str, Alarm] = {
    "raypipe for life, no tolerance": _evidence(Budget(tolerance=0.0), _LIFE, recent=False),
    "raypipe for life, tolerance 0.02": _evidence(Budget(), _LIFE, recent=False),
    "raypipe fast, no tolerance": _evidence(Budget(tolerance=0.0), math.log(10_000), recent=True),
    "KS on 500 rows, Bonferroni": _ks,
    "PSI above 0.1 on 2,000 rows": _psi(0.1),
    "PSI above 0.25 on 2,000 rows": _psi(0.25),
}


def _harm(errors: Floats) -> dict[str, Alarms]:
    n_healthy = errors.shape[1] - N_CHANGED
    budget, found = harm.Budget(), {"raypipe harm for life": [], "raypipe harm fast": []}
    random = np.random.default_rng(2)
    for one in errors:
        release = harm.Release.of_classes(int(random.binomial(5_000, 0.1)), 5_000, budget)
        state, said = harm.HarmState(), []
        for start in range(0, len(one), LABELS):
            state = harm.update(state, release.bets(one[start : start + LABELS]))
            said.append(harm.harm(state, budget))
            if start > n_healthy and said[-1].harmed and said[-1].changed:
                break
        found["raypipe harm for life"].append(_first(np.array([x.harmed for x in said]), LABELS, n_healthy))
        found["raypipe harm fast"].append(_first(np.array([x.changed for x in said]), LABELS, n_healthy))
    return dict(found)


def _first(far: np.ndarray, each: int, n_healthy: int) -> tuple[int | None, int | None]:
    at = (np.flatnonzero(far) + 1) * each
    later = at[at > n_healthy]
    return (int(at[0]) if len(at) else None), (int(later[0]) if len(later) else None)


def _peers(arrays: Mapping[str, Floats], n_healthy: int, python: Path | None) -> dict[str, dict[str, Alarms]]:
    if python is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "streams.npz"
        np.savez(path, after=n_healthy, **arrays)
        script = Path(__file__).with_name("peers.py")
        done = subprocess.run([python, script, path], check=True, capture_output=True, env={})
    found: dict[str, dict[str, Alarms]] = json.loads(done.stdout)
    return found


def _rows(change: str, found: Mapping[str, Alarms], n_healthy: int) -> Iterator[Row]:
    for detector, alarms in found.items():
        delays = [later - n_healthy for _, later in alarms if later is not None]
        n_false = sum(first is not None and first <= n_healthy for first, _ in alarms)
        median = float(np.median(delays)) if 2 * len(delays) > len(alarms) else None
        yield Row(change, detector, len(alarms), n_false, len(delays), median)
