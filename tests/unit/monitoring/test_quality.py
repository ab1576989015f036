from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from raypipe.data.captured import Answer, LabelRecord, PredictionRecord, label_table, prediction_table
from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.labels import join
from raypipe.monitoring.quality import live_quality, row_losses
from raypipe.monitoring.report import LiveQuality, VersionQuality
from raypipe.stats.metrics import METRICS
from raypipe.training.task import Task

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BINARY = Task("classification", "outcome", ("bad", "good"), "auc")
HITS = Task("classification", "outcome", ("bad", "good"), "accuracy")
AMOUNT = Task("regression", "price", (), "mae")
SMALL = MonitoringSettings(window_labels=20, min_labels=4)

Row = tuple[str, Answer, tuple[float, ...] | None, Answer]
"""Version, prediction, probabilities, label; one a second."""


def rows_of(rows: Iterable[Row]) -> pa.Table:
    predictions, labels = [], []
    for i, (version, prediction, probabilities, label) in enumerate(rows):
        at = NOON + timedelta(seconds=i)
        predictions.append(PredictionRecord(f"{i}", at, version, "champion", "{}", prediction, probabilities))
        labels.append(LabelRecord(f"{i}", label, at + timedelta(seconds=60)))
    return join(prediction_table(predictions), label_table(labels)).rows


def hit(is_hit: bool, version: str = "v1") -> Row:
    return (version, "good", (0.2, 0.8), "good" if is_hit else "bad")


def quality(
    rows: Iterable[Row], task: Task = HITS, settings: MonitoringSettings = SMALL, version: str = "v1"
) -> LiveQuality | None:
    return live_quality(rows_of(rows), task, settings, version=version, seed=0)


def test_the_metric_is_the_tasks_own() -> None:
    random = np.random.default_rng(0)
    share = random.random(300)
    y = (random.random(300) < share).astype(np.int64)
    rows = [("v1", "good", (1 - p, p), ("bad", "good")[k]) for p, k in zip(share.tolist(), y, strict=True)]
    found = quality(rows, BINARY, MonitoringSettings())
    assert found is not None
    assert (found.metric, found.n_labels, found.n_left_out) == ("auc", 300, 0)
    assert found.value == METRICS["auc"](y, np.column_stack([1 - share, share]))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_an_error_is_measured_in_the_labels_unit() -> None:
    found = quality([("v1", 10.0, None, 10.0 + i % 2) for i in range(10)], AMOUNT)
    assert found is not None
    assert (found.metric, found.value) == ("mae", 0.5)


def test_only_the_newest_rows_of_the_serving_version_count() -> None:
    old = [hit(False)] * 30
    found = quality([*old, *[hit(True), hit(False, "v2")] * 20])
    assert found is not None
    assert (found.value, found.n_labels) == (1.0, 20)
    assert found.by_version == (VersionQuality("v2", 0.0, 20), VersionQuality("v1", 1.0, 20))


def test_a_late_label_does_not_make_an_old_answer_new() -> None:
    answers = [
        PredictionRecord(f"{i}", NOON + timedelta(seconds=i), "v1", "champion", "{}", 1.0) for i in range(8)
    ]
    labels = [LabelRecord(f"{i}", 1.0, NOON + timedelta(minutes=1)) for i in range(4, 8)]
    late = [LabelRecord(f"{i}", 100.0, NOON + timedelta(days=1)) for i in range(4)]
    rows = join(prediction_table(answers), label_table([*labels, *late])).rows
    settings = MonitoringSettings(window_labels=4, min_labels=4)
    found = live_quality(rows, AMOUNT, settings, version="v1", seed=0)
    assert found is not None
    assert found.value == 0.0


def test_few_labels_are_no_quality() -> None:
    assert quality([hit(True)] * 3) is None
    assert quality([hit(True)] * 4) is not None
    assert quality([hit(True)] * 9, version="v2") is None
    assert quality([]) is None


def test_auc_of_one_class_is_not_defined() -> None:
    found = quality([hit(True)] * 5, BINARY)
    assert found is not None
    assert (found.value, found.low, found.high, found.n_labels) == (None, None, None, 5)
    assert found.by_version == (VersionQuality("v1", None, 5),)


def test_a_label_that_the_task_does_not_know_is_left_out() -> None:
    found = quality([*[hit(True)] * 5, ("v1", "good", (0.2, 0.8), "ugly")])
    assert found is not None
    assert (found.value, found.n_labels, found.n_left_out) == (1.0, 5, 1)


@pytest.mark.parametrize(("label", "n_used"), [(1, 4), (1.0, 4), (True, 0)])
def test_one_is_one_however_it_is_spelled_and_true_is_not(label: Answer, n_used: int) -> None:
    task = Task("classification", "y", (0, 1), "accuracy")
    settings = MonitoringSettings(window_labels=20, min_labels=1)
    found = quality([("v1", 1, (0.2, 0.8), label)] * 4, task, settings)
    assert (0 if found is None else found.n_labels) == n_used


def test_a_version_for_other_classes_has_no_score() -> None:
    found = quality([*[("v0", "a", (0.2, 0.3, 0.5), "a")] * 5, *[hit(True)] * 5])
    assert found is not None
    assert found.by_version == (VersionQuality("v1", 1.0, 5), VersionQuality("v0", None, 0))


def test_an_amount_that_is_none_is_left_out() -> None:
    rows: list[Row] = [("v1", 1.0, None, 1.0)] * 5 + [("v1", 1.0, None, "x"), ("v1", 1.0, None, True)]
    found = quality(rows, AMOUNT)
    assert found is not None
    assert (found.n_labels, found.n_left_out) == (5, 2)


def test_equal_rows_give_an_equal_interval() -> None:
    rows = [hit(i % 3 > 0) for i in range(20)]
    assert quality(rows) == quality(rows)


def test_the_loss_of_a_row_is_in_the_rows_place() -> None:
    rows = rows_of([hit(True), hit(False), hit(True)])
    assert row_losses(rows, HITS, lambda errors: errors).tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(row_losses(rows, Task("classification", "outcome", ("x", "y"), "auc"), np.abs)).all()
    assert row_losses(rows.slice(0, 0), HITS, np.abs).tolist() == []
