from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pyarrow as pa

from raypipe.data.captured import LabelRecord, PredictionRecord, label_table, prediction_table
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import WindowReport
from raypipe.monitoring.window import measure
from raypipe.training.task import Task

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TASK = Task("classification", "outcome", ("bad", "good"), "accuracy")
SETTINGS = MonitoringSettings(window_rows=300, window_labels=200)
TRAINING = pa.table(
    {
        "x": np.random.default_rng(0).normal(size=5_000),
        "c": np.random.default_rng(1).choice(["a", "b", "c"], 5_000).tolist(),
    }
)
REFERENCE = Reference.of(Profile.of_table(TRAINING), schema_columns(TRAINING.schema))


def traffic(n: int, *, shift_at: int) -> tuple[list[PredictionRecord], list[LabelRecord]]:
    """Return answers, one a second, that are right, on shifted inputs and wrong from a row on."""
    random = Random(0)
    predictions, labels = [], []
    for i in range(n):
        shifted = i >= shift_at
        inputs = {"x": random.gauss(3 if shifted else 0, 1), "c": random.choice("abc"), "unused": i}
        at = NOON + timedelta(seconds=i)
        record = PredictionRecord(f"r{i}", at, "v1", "champion", json.dumps(inputs), "good", (0.2, 0.8))
        predictions.append(record)
        labels.append(LabelRecord(f"r{i}", "bad" if shifted else "good", at + timedelta(seconds=30)))
    return predictions, labels


def report(predictions: list[PredictionRecord], labels: list[LabelRecord]) -> WindowReport:
    tables = prediction_table(predictions), label_table(labels)
    return measure(REFERENCE, TASK, *tables, SETTINGS, version="v1", at=NOON)


def test_healthy_traffic() -> None:
    found = report(*traffic(1_000, shift_at=1_000))
    assert (found.n_rows, found.n_labels, found.drifted) == (300, 1_000, ())
    assert found.quality is not None
    assert (found.quality.value, found.quality.n_labels) == (1.0, 200)
    assert [one.column for one in found.drift] == ["x", "c"]


def test_a_change_is_seen_in_the_newest_rows() -> None:
    found = report(*traffic(1_000, shift_at=700))
    assert found.drifted == ("x",)
    assert found.quality is not None
    assert found.quality.value == 0.0


def test_the_order_in_which_rows_were_kept_does_not_matter() -> None:
    predictions, labels = traffic(400, shift_at=300)
    found = report(predictions, labels)
    Random(1).shuffle(predictions)
    Random(2).shuffle(labels)
    assert report(predictions, labels) == found


def test_a_redelivered_row_counts_once() -> None:
    predictions, labels = traffic(300, shift_at=300)
    found = report([*predictions, *predictions], labels)
    assert (found.n_rows, found.labels.n_redelivered) == (300, 300)
    assert found.drift == report(predictions, labels).drift


def test_nothing_captured_yet() -> None:
    found = report([], [])
    assert (found.n_rows, found.n_labels, found.quality, found.drifted) == (0, 0, None, ())
    assert [one.psi for one in found.drift] == [None, None]


def test_the_furthest_comes_first() -> None:
    predictions, labels = traffic(300, shift_at=0)
    inputs = json.dumps({"x": 0.7, "c": "new"})
    moved = [PredictionRecord(p.id, p.at, p.version, p.role, inputs, p.prediction) for p in predictions]
    found = report(moved, labels)
    by_name = {one.column: one.psi or 0.0 for one in found.drift}
    assert sorted(found.drifted, key=lambda name: -by_name[name]) == list(found.drifted)
    assert set(found.drifted) == {"x", "c"}


def test_a_report_is_kept() -> None:
    for found in (report(*traffic(300, shift_at=200)), report([], [])):
        assert WindowReport.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_reading_a_report_loads_no_heavy_library() -> None:
    code = (
        "import sys, raypipe.monitoring.window, raypipe.monitoring.reference; "
        "print([m for m in ('numpy', 'polars', 'pyarrow', 'ray') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
