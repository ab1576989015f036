"""One look of the controller at live traffic: what has come since the last, beside the whole tables.

    .venv/bin/python benchmarks/looks.py [ROWS ...]

By default over 100,000 and 1,000,000 captured rows: 20 numbers each, half of them labelled, in files of
10,000 rows. Then come commits of 500 answers and 250 labels, each followed by a look with the default
windows. The peer reads both tables and joins them, as raypipe did before it kept what it had read. Both
give the same report, which is checked. Prints the median seconds of a look, and what folding all from
nothing took.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from raypipe.core.home import Home, PipelineHome
from raypipe.data.captured import label_schema, prediction_schema
from raypipe.data.committer import read_labels, read_predictions
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.table import Write, commit, open_table
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.fold import Fold
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import WindowReport
from raypipe.monitoring.watch import Watch
from raypipe.monitoring.window import measure as measure_window
from raypipe.training.task import Task

N_COLUMNS, FILE_ROWS, COMMIT_ROWS = 20, 10_000, 500
SETTINGS = MonitoringSettings()
TASK = Task("classification", "y", ("bad", "good"), "accuracy")
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Result:
    """Seconds: the median look by each way, and folding all rows from nothing; and the size of the fold."""

    n_rows: int
    fold_s: float
    whole_s: float
    first_s: float
    fold_bytes: int

    @property
    def ratio(self) -> float:
        """How many times longer reading the whole tables takes."""
        return self.whole_s / self.fold_s


def captured(start: int, n_rows: int) -> tuple[pa.Table, pa.Table]:
    """Return answers with numbers from `start` on, ten a second, and labels for every other of them."""
    random = np.random.default_rng(start)
    numbers = random.normal(size=(n_rows, N_COLUMNS)).round(4).tolist()
    ids = [f"{start + i:032x}" for i in range(n_rows)]
    at = [START + timedelta(milliseconds=100 * (start + i)) for i in range(n_rows)]
    inputs = [json.dumps({f"x{c}": value for c, value in enumerate(row)}) for row in numbers]
    given = random.random(n_rows)
    answers = ['"good"' if p > 0.5 else '"bad"' for p in given]
    columns = [ids, at, ["v1"] * n_rows, ["champion"] * n_rows, inputs, answers]
    probabilities = [[1 - p, p] for p in given.tolist()]
    predictions = pa.table([*columns, probabilities], schema=prediction_schema())
    labelled_at = [one + timedelta(minutes=5) for one in at[::2]]
    labels = pa.table([ids[::2], answers[::2], labelled_at], schema=label_schema())
    return predictions, labels


def append(folder: PipelineHome, start: int, n_rows: int) -> None:
    """Commit rows to both tables."""
    rows = captured(start, n_rows)
    places = (folder.predictions, prediction_schema()), (folder.labels, label_schema())
    for (path, schema), table in zip(places, rows, strict=True):
        commit(open_table(path, schema), path, Write(table, f"from-{start}"), mode="append")


def measure(n_rows: int, n_looks: int = 5) -> Result:
    """Capture rows, then look after each of some commits, both ways."""
    with TemporaryDirectory(prefix="looks-") as place:
        folder = Home(Path(place)).pipeline("p")
        for start in range(0, n_rows, FILE_ROWS):
            append(folder, start, min(FILE_ROWS, n_rows - start))
        first, folded, whole = list[float](), list[float](), list[float]()
        reference = _reference(folder)
        fold = Fold(folder, SETTINGS, {"v1": Watch(TASK, reference)}.get)
        with _timed(first):
            _by_fold(reference, fold)
        for number in range(n_looks):
            append(folder, n_rows + number * COMMIT_ROWS, COMMIT_ROWS)
            with _timed(folded):
                found = _by_fold(reference, fold)
            with _timed(whole):
                expected = _by_tables(reference, folder)
            assert found == expected
        size = folder.fold.stat().st_size
    return Result(n_rows, statistics.median(folded), statistics.median(whole), first[0], size)


def _reference(folder: PipelineHome) -> Reference:
    from raypipe.data.live import decode_inputs
    from raypipe.data.schema import Column

    columns = [Column(f"x{i}", "number", nullable=True) for i in range(N_COLUMNS)]
    table = decode_inputs(read_predictions(folder, until=START + timedelta(minutes=5))["inputs"], columns)
    return Reference.of(Profile.of_table(table), schema_columns(table.schema))


def _by_fold(reference: Reference, fold: Fold) -> WindowReport:
    fold.follow()
    found = fold.read("v1", START)
    tables = found.predictions, found.labels
    return measure_window(reference, TASK, *tables, SETTINGS, version="v1", at=START, counts=found.counts)


def _by_tables(reference: Reference, folder: PipelineHome) -> WindowReport:
    tables = read_predictions(folder), read_labels(folder)
    return measure_window(reference, TASK, *tables, SETTINGS, version="v1", at=START)


@contextmanager
def _timed(times: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times.append(time.perf_counter() - start)


if __name__ == "__main__":
    for n in [int(text) for text in sys.argv[1:]] or [100_000, 1_000_000]:
        result = measure(n)
        sys.stdout.write(
            f"{n:,} rows: a look {result.fold_s:.3f} s, over the whole tables {result.whole_s:.3f} s, "
            f"{result.ratio:.0f} times as long; folded from nothing in {result.first_s:.1f} s, "
            f"{result.fold_bytes / 1e6:.0f} MB\n"
        )
