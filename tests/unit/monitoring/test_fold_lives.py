"""Labels that come late, out of order, twice, corrected or never come to the same, whenever one looks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from raypipe.core.home import Home, PipelineHome
from raypipe.data.captured import (
    LabelRecord,
    PredictionRecord,
    label_schema,
    label_table,
    prediction_schema,
    prediction_table,
)
from raypipe.data.profile import Profile
from raypipe.data.schema import schema_columns
from raypipe.data.table import Write, commit, open_table
from raypipe.monitoring.config import HarmSettings, MonitoringSettings
from raypipe.monitoring.fold import Captured, Fold
from raypipe.monitoring.graded import Answered, graded
from raypipe.monitoring.joint import Sample
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import Signals
from raypipe.monitoring.signals import newest_answers, signals
from raypipe.monitoring.watch import Watch
from raypipe.training.task import Task

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TASK = Task("classification", "outcome", ("bad", "good"), "accuracy")
SETTINGS = MonitoringSettings(window_rows=500, harm=HarmSettings(cohort_rows=50, mature_after_s=60.0))
RANDOM = np.random.default_rng(0)
TRAINING = pa.table({"x": RANDOM.normal(size=2_000), "colour": RANDOM.choice(["red", "blue"], 2_000)})
REFERENCE = Reference.of(Profile.of_table(TRAINING), schema_columns(TRAINING.schema))
SAMPLE = Sample.of(REFERENCE, TRAINING, seed=0)


def graded_as(wrong_ratio: float, slices: tuple[str, ...] = ()) -> Watch:
    """Return what a version is compared with that was wrong so often, and more so when unsure."""
    random, n = np.random.default_rng(1), 2_000
    sure = random.uniform(0.5, 1.0, n)
    wrong = random.random(n) < 4 * wrong_ratio * (1 - sure)
    raw = np.stack([1 - sure, sure], axis=1)
    found = graded(TASK, Answered(raw, (~wrong).astype(np.int64)), TRAINING, REFERENCE.only(slices), SAMPLE)
    return Watch(TASK, REFERENCE, found)


WATCH = graded_as(0.1, ("colour",))


@dataclass
class Log:
    """The captured tables of a pipeline."""

    folder: PipelineHome
    n_commits: int = 0

    def answers(self, records: Sequence[PredictionRecord]) -> None:
        self._commit(self.folder.predictions, prediction_schema(), prediction_table(records))

    def labels(self, records: Sequence[LabelRecord]) -> None:
        self._commit(self.folder.labels, label_schema(), label_table(records))

    def _commit(self, path: Path, schema: pa.Schema, rows: pa.Table) -> None:
        self.n_commits += 1
        commit(open_table(path, schema), path, Write(rows, f"c{self.n_commits}"), mode="append")

    def look(self, now: datetime, watch: Watch = WATCH, settings: MonitoringSettings = SETTINGS) -> Captured:
        return Fold(self.folder, settings, {"v1": watch}.get).read("v1", now)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(Home(tmp_path).pipeline("p"))


def answer(i: int, colour: str = "red") -> PredictionRecord:
    inputs = json.dumps({"x": Random(i).gauss(0, 1), "colour": colour})
    sure = Random(i).uniform(0.5, 1.0)
    at = NOON + timedelta(seconds=i)
    return PredictionRecord(f"r{i}", at, "v1", "champion", inputs, "good", (1 - sure, sure))


def label(i: int, wrong: bool, after_s: float = 1.0) -> LabelRecord:
    return LabelRecord(f"r{i}", "bad" if wrong else "good", NOON + timedelta(seconds=i + after_s))


def seen(captured: Captured, now: datetime, watch: Watch = WATCH) -> Signals:
    newest = newest_answers(captured.predictions, captured.labels, "v1", SETTINGS.window_rows)
    return signals(watch, captured.lives, captured.delays, newest, SETTINGS, now=now)


def is_wrong(i: int, ratio: float = 0.1) -> bool:
    return Random(-i).random() < ratio


def test_a_cohort_waits_until_its_youngest_answer_is_as_old_as_labels_take(log: Log) -> None:
    log.answers([answer(i) for i in range(120)])
    log.labels([label(i, is_wrong(i)) for i in range(120)])
    captured = log.look(NOON + timedelta(seconds=49 + 59))
    assert captured.lives.labels.n_cohorts == 0
    assert captured.ripe_at == NOON + timedelta(seconds=49 + 60)
    captured = log.look(captured.ripe_at)
    assert (captured.lives.labels.n_cohorts, captured.lives.labels.n_labelled) == (1, 50)
    captured = log.look(NOON + timedelta(hours=1))
    assert (captured.lives.labels.n_cohorts, captured.ripe_at) == (2, None), "20 answers fill no cohort"


def test_how_long_labels_take_is_trusted_once_answers_are_twice_as_old(log: Log) -> None:
    """The first labels to come are quick ones: taken at their word, cohorts would hold little else."""
    settings = SETTINGS.model_copy(update={"harm": HarmSettings(cohort_rows=50)})
    log.answers([answer(i) for i in range(100)])
    log.labels([label(i, True, after_s=80.0) for i in range(100)])
    assert log.look(NOON + timedelta(seconds=150), settings=settings).lives.labels.n_cohorts == 0
    captured = log.look(NOON + timedelta(seconds=161), settings=settings)
    assert captured.lives.labels.mature_after_s == 80.0
    assert (captured.lives.labels.n_cohorts, captured.lives.labels.n_labelled) == (1, 50)


def test_the_order_of_labels_and_of_looks_does_not_matter(log: Log, tmp_path: Path) -> None:
    random, n = Random(3), 400
    log.answers([answer(i, random.choice(["red", "blue"])) for i in range(n)])
    came = [label(i, is_wrong(i), random.expovariate(1 / 40)) for i in range(n) if i % 10]
    came += [label(i, not is_wrong(i), 500.0) for i in range(0, n, 7) if i % 10]
    came += came[:50]
    random.shuffle(came)
    for start in range(0, len(came), 60):
        log.labels(came[start : start + 60])
        log.look(NOON + timedelta(seconds=random.uniform(0, 900)))
    late = NOON + timedelta(hours=1)
    kept = log.look(late).lives.labels
    log.folder.fold.unlink()
    again = log.look(late).lives.labels
    assert (again.n_cohorts, again.n_answers, again.n_labelled) == (8, 400, 360)
    assert kept.shown == again.shown
    assert (kept.total_loss, kept.bounds) == (again.total_loss, again.bounds)
    for one, other in ((kept.harm, again.harm), *((kept.slices[k], again.slices[k]) for k in again.slices)):
        assert one.tests.starts == other.tests.starts
        for (_, a), (_, b) in zip(one.tests.parts, other.tests.parts, strict=True):
            assert (a.n, a.total) == (b.n, b.total)
            assert a.log_wealth == pytest.approx(b.log_wealth, abs=1e-9)


def test_a_killed_controller_finds_the_very_same(log: Log) -> None:
    log.answers([answer(i) for i in range(300)])
    log.labels([label(i, is_wrong(i)) for i in range(0, 300, 2)])
    late = NOON + timedelta(hours=1)
    first = log.look(late)
    assert log.look(late).lives == first.lives


def test_an_answer_that_comes_again_without_a_label_is_looked_at(log: Log) -> None:
    """Its cohort was taken; there is no loss to count again."""
    late = NOON + timedelta(hours=1)
    log.answers([answer(i) for i in range(50)])
    log.labels([label(i, wrong=i < 10) for i in range(40)])
    before = log.look(late).lives.labels
    log.answers([answer(45), answer(5)])
    assert log.look(late).lives.labels == before
    assert (before.n_labelled, before.total_loss) == (40, 10.0)


def test_labels_that_never_come_leave_bounds(log: Log) -> None:
    log.answers([answer(i) for i in range(100)])
    log.labels([label(i, wrong=i % 4 == 0) for i in range(80)])
    late = NOON + timedelta(hours=1)
    matured = seen(log.look(late), late).matured
    assert matured is not None
    assert (matured.n_answers, matured.n_labelled) == (100, 80)
    assert (matured.low, matured.high) == (0.2, 0.4)
    assert matured.ever_labelled_ratio == pytest.approx(0.8)
    assert matured.delay_p50_s == 1.0
    assert [(one.n_answers, one.n_labelled) for one in matured.cohorts] == [(50, 50), (50, 30)]


def test_harm_is_said_of_a_version_that_becomes_worse_and_not_of_one_that_stays(log: Log) -> None:
    late = NOON + timedelta(hours=1)
    log.answers([answer(i) for i in range(1_000)])
    log.labels([label(i, is_wrong(i)) for i in range(1_000)])
    harm = seen(log.look(late), late).harm
    assert harm is not None and not harm.harmed and not harm.changed
    assert harm.nearness < 0.5
    log.answers([answer(i) for i in range(1_000, 1_600)])
    log.labels([label(i, is_wrong(i, 0.4)) for i in range(1_000, 1_600)])
    harm = seen(log.look(late), late).harm
    assert harm is not None and harm.harmed and harm.changed
    assert (harm.n_labels, harm.nearness) == (1_600, 1.0)
    assert harm.loss is not None and harm.at_release < harm.bound < 0.15 < harm.loss


def test_harm_to_one_slice_is_told_by_its_name(log: Log) -> None:
    late = NOON + timedelta(hours=1)
    colours = ["red", "blue", "blue", "blue"]
    log.answers([answer(i, colours[i % 4]) for i in range(800)])
    log.labels([label(i, is_wrong(i, 0.6 if i % 4 == 0 else 0.05)) for i in range(800)])
    slices = {one.of: one for one in seen(log.look(late), late).slices}
    assert set(slices) == {"colour = red", "colour = blue"}
    assert slices["colour = red"].harmed and not slices["colour = blue"].harmed
    assert slices["colour = red"].n_labels == 200


def test_quality_is_estimated_before_labels_and_corrected_by_those_that_have_matured(log: Log) -> None:
    soon, late = NOON + timedelta(seconds=500), NOON + timedelta(hours=1)
    log.answers([answer(i) for i in range(500)])
    found = seen(log.look(soon), soon).estimated
    assert found is not None
    assert (found.loss, found.basis, found.n_rows, found.n_labels) == ("error", "estimated", 500, 0)
    assert found.low < 0.1 < found.high and found.measured is None
    log.labels([label(i, is_wrong(i, 0.5)) for i in range(0, 500, 2)])
    found = seen(log.look(late), late).estimated
    assert found is not None
    assert (found.basis, found.n_rows, found.n_labels) == ("estimated and corrected", 500, 250)
    assert found.low < 0.5 < found.high and found.value > 0.35
    assert found.measured == pytest.approx(0.5, abs=0.1)


def test_other_answers_than_on_graded_rows_are_drift_of_outputs(log: Log) -> None:
    late = NOON + timedelta(hours=1)
    log.answers([answer(i) for i in range(600)])
    calm = seen(log.look(late), late)
    assert [one.column for one in calm.outputs] == ["answer.class", "answer.confidence"]
    assert not any(one.drifted for one in calm.outputs)
    unsure = [
        PredictionRecord(f"u{i}", NOON, "v1", "champion", answer(i).inputs, "bad", (0.51, 0.49))
        for i in range(400)
    ]
    log.answers(unsure)
    found = seen(log.look(late), late)
    assert [one.column for one in found.outputs if one.drifted] == ["answer.class", "answer.confidence"]


def test_a_version_without_graded_rows_has_neither_harm_nor_estimate(log: Log) -> None:
    late = NOON + timedelta(hours=1)
    log.answers([answer(i) for i in range(300)])
    log.labels([label(i, True) for i in range(300)])
    bare = Watch(TASK, REFERENCE)
    found = seen(log.look(late, bare), late, bare)
    assert (found.harm, found.slices, found.outputs, found.estimated) == (None, (), (), None)
    assert [one.column for one in found.inputs] == ["x", "colour"]
