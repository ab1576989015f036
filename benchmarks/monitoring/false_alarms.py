"""How many streams without drift ever alarm, and how many are called so by what is done today."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import chi2

from benchmarks.monitoring.streams import Floats, Stream, evidence_by_window, population
from raypipe.monitoring.drift import counts
from raypipe.monitoring.drift_evidence import Budget
from raypipe.stats.alike import n_alike
from raypipe.stats.many import rejected
from raypipe.stats.proportions import clopper_pearson
from raypipe.stats.shift import psi

N_HEALTHY = 50
"""Windows before the live ones, from which it is told how many rows are alike."""


@dataclass(frozen=True)
class Setting:
    """What is drawn."""

    n_streams: int
    n_features: int
    n_windows: int
    window_rows: int
    n_reference: int = 10_000
    run_rows: int = 1
    """The mean of rows in a row that are one and the same; 1 for independent rows."""
    whole_rows: bool = False
    """Whether rows are drawn and binned one by one, so that columns depend on each other as they do."""
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """How many streams alarmed at least once, by one method."""

    method: str
    n_alarmed: int
    n_streams: int

    def line(self) -> str:
        low, high = clopper_pearson(self.n_alarmed, self.n_streams)
        return f"| {self.method} | {self.n_alarmed} of {self.n_streams} | {low:.1%} to {high:.1%} |\n"


HEAD = "| method | streams with any alarm | exact 95% interval |\n|---|---|---|\n"
BUDGETS = {
    "raypipe, alpha 5%, tolerance PSI 0.02 (default)": Budget(),
    "raypipe, alpha 5%, no tolerance": Budget(tolerance=0.0),
}


def false_alarms(setting: Setting) -> Iterator[Row]:
    """Yield a row for each method, all on the same streams."""
    rows = population(setting.n_features)
    found = [_alarmed(setting, rows, i) for i in range(setting.n_streams)]
    for method in found[0]:
        yield Row(method, sum(one[method] for one in found), setting.n_streams)


def peers(n_features: int, n_streams: int, n_rows: int, python: Path) -> Iterator[Row]:
    """Yield a row for each of river's detectors, on rows drawn with replacement from columns of numbers."""
    table = population(100)
    numbers = [one for one in table.column_names if pa.types.is_floating(table.schema.field(one).type)]
    pool = {name: _standardised(table[name]) for name in numbers}
    pool = {name: of for name, of in pool.items() if of.std() > 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.npz"
        np.savez(path, **dict(list(pool.items())[:n_features]))
        script = Path(__file__).with_name("peers.py")
        command = [python, script, path, str(n_streams), str(n_rows)]
        done = subprocess.run(command, check=True, capture_output=True, env={})
    for name, n in json.loads(done.stdout).items():
        yield Row(f"{name}, {min(n_features, len(pool))} columns, {n_rows:,} rows", n, n_streams)


def _standardised(column: pa.ChunkedArray) -> Floats:
    values = np.array(column.to_pylist(), float)
    known = np.where(np.isnan(values), np.nanmean(values), values)
    return np.asarray((known - known.mean()) / max(known.std(), 1e-12), np.float64)


def _alarmed(setting: Setting, rows: pa.Table, nth: int) -> dict[str, bool]:
    random = np.random.default_rng([setting.seed, nth])
    stream = Stream.of(rows, setting.n_reference, random)
    counted = (
        _binned(stream, rows, setting, random)
        if setting.whole_rows
        else [_windows(one, setting, random) for one in stream.shares]
    )
    healthy, live = [one[:N_HEALTHY] for one in counted], [one[N_HEALTHY:] for one in counted]
    found = {name: _any(stream, live, budget) for name, budget in BUDGETS.items()}
    if setting.run_rows > 1:
        alike = max(n_alike(one) for one in healthy)
        for name, budget in BUDGETS.items():
            found[f"{name}, rows alike counted"] = _any(stream, live, replace(budget, n_alike=alike))
    detector = evidence_by_window(stream.reference, live, Budget(tolerance=0.0))[1]
    found["raypipe's fast detector, no tolerance, once in 10,000 windows"] = bool(
        rejected(detector, math.log(10_000)).any()
    )
    references = [np.array(one.counts, float) for one in stream.reference.columns]
    p_values = [_chi_squared(one, r) for one, r in zip(live, references, strict=True)]
    far = [psi(one, r) or 0.0 for of, r in zip(live, references, strict=True) for one in of.tolist()]
    found |= {f"PSI above {bound} in any window": max(far) > bound for bound in (0.1, 0.25)}
    found["chi-squared, p < .05 / features, in any window"] = bool(
        (np.array(p_values) < 0.05 / len(live)).any()
    )
    return found


def _windows(shares: Floats, setting: Setting, random: np.random.Generator) -> Floats:
    """Draw counts by window; where rows come in runs, of geometric lengths, a window has about its rows."""
    n = N_HEALTHY + setting.n_windows
    runs = random.multinomial(setting.window_rows // setting.run_rows, shares, size=n)
    if setting.run_rows == 1:
        return runs.astype(np.float64)
    more = random.negative_binomial(np.maximum(runs, 1), 1 / setting.run_rows)
    return np.asarray(runs + np.where(runs > 0, more, 0), np.float64)


def _binned(stream: Stream, rows: pa.Table, setting: Setting, random: np.random.Generator) -> list[Floats]:
    """Draw rows by window, and count them as raypipe does."""
    n = N_HEALTHY + setting.n_windows
    drawn = (rows.take(random.integers(rows.num_rows, size=setting.window_rows)) for _ in range(n))
    counted = [counts(stream.reference, one).columns for one in drawn]
    return [np.array(column, float) for column in zip(*counted, strict=True)]


def _any(stream: Stream, live: list[Floats], budget: Budget) -> bool:
    life, _ = evidence_by_window(stream.reference, live, budget)
    bound = math.log(1 / (budget.alpha * (1 - budget.reference_ratio)))
    return bool(rejected(life, bound).any())


def _chi_squared(windows: Floats, reference: Floats) -> Floats:
    """Return the p-value of each window against the reference: both are samples."""
    kept = (windows.sum(0) + reference) > 0
    a, b = windows[:, kept], reference[kept]
    n, m = a.sum(-1, keepdims=True), b.sum()
    statistic = ((np.sqrt(m / n) * a - np.sqrt(n / m) * b) ** 2 / np.maximum(a + b, 1.0)).sum(-1)
    return np.asarray(chi2.sf(statistic, kept.sum() - 1), np.float64)
