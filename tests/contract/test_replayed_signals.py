"""Recorded rows played through the fold: what the controller sees live, from the same functions.

A model of the older rows answers the newest ones, in their order, and rows drawn at random from the time that
it was graded on: harm and drift are said of the first alone, and a file that is lost changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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
from raypipe.monitoring.life import alike_in_order
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import Signals
from raypipe.monitoring.signals import newest_answers, signals
from raypipe.monitoring.watch import Watch
from raypipe.training.task import Task

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = MonitoringSettings(harm=HarmSettings(mature_after_s=60.0))
N_TRAINED, N_GRADED, N_PLAYED, N_COMMIT = 6_000, 2_000, 3_000, 500


@dataclass(frozen=True)
class Recorded:
    """Rows in order of time, what is to be told of them, and by which columns."""

    rows: pa.Table
    task: Task
    inputs: tuple[str, ...]
    sliced: str

    @classmethod
    def of(cls, name: str, path: Path) -> Recorded:
        rows = pq.read_table(path).sort_by("ts").slice(0, N_TRAINED + N_GRADED + 12_000)
        if name == "elec2":
            task = Task("classification", "class", ("DOWN", "UP"), "accuracy")
            return cls(rows, task, ("period", "nswprice", "nswdemand", "vicprice", "transfer"), "period")
        task = Task("regression", "cnt", (), "mae")
        return cls(rows, task, ("hr", "workingday", "temp", "hum", "windspeed"), "hr")

    def target(self) -> np.ndarray:
        return self.task.encode(self.rows[self.task.label])

    def features(self) -> np.ndarray:
        return np.stack([self.rows[name].to_numpy().astype(float) for name in self.inputs], axis=1)


@dataclass(frozen=True)
class Played:
    """A recorded set with a model of its older rows, ready to be asked."""

    recorded: Recorded
    watch: Watch
    raw: np.ndarray
    """Its answer to each row: probabilities of the classes, or a value."""

    @classmethod
    def of(cls, recorded: Recorded) -> Played:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        of_classes = recorded.task.kind == "classification"
        make = HistGradientBoostingClassifier if of_classes else HistGradientBoostingRegressor
        x, y = recorded.features(), recorded.target()
        with threadpool_limits(1):
            model = make(max_iter=30, random_state=0).fit(x[:N_TRAINED], y[:N_TRAINED])
            raw = model.predict_proba(x) if of_classes else model.predict(x)
        training = recorded.rows.slice(0, N_TRAINED + N_GRADED).select(recorded.inputs)
        reference = Reference.of(Profile.of_table(training), schema_columns(training.schema))
        at = slice(N_TRAINED, N_TRAINED + N_GRADED)
        found = graded(
            recorded.task,
            Answered(raw[at], y[at]),
            training.slice(N_TRAINED),
            reference.only([recorded.sliced]),
            Sample.of(reference, training, seed=0),
            alike_in_order(reference, training),
        )
        return cls(recorded, Watch(recorded.task, reference, found), raw)

    def commit(self, folder: PipelineHome, rows: Sequence[int], start: int) -> None:
        """Commit answers to these rows, one a second, and their labels, which come 30 s later."""
        table, task = self.recorded.rows.select(self.recorded.inputs), self.recorded.task
        truths = self.recorded.rows[task.label].to_pylist()
        answers, labels = [], []
        for nth, (row, inputs) in enumerate(zip(rows, table.take(list(rows)).to_pylist(), strict=True)):
            id, at = f"r{start + nth}", START + timedelta(seconds=start + nth)
            given = self.raw[row]
            of_classes = task.kind == "classification"
            answer = task.classes[int(given.argmax())] if of_classes else float(given)
            probabilities = tuple(given.tolist()) if of_classes else None
            record = PredictionRecord(id, at, "v1", "champion", json.dumps(inputs), answer, probabilities)
            answers.append(record)
            labels.append(LabelRecord(id, truths[row], at + timedelta(seconds=30)))
        for path, schema, came in (
            (folder.predictions, prediction_schema(), prediction_table(answers)),
            (folder.labels, label_schema(), label_table(labels)),
        ):
            commit(open_table(path, schema), path, Write(came, f"from-{start}"), mode="append")

    def seen(self, folder: PipelineHome, rows: Sequence[int]) -> tuple[Captured, Signals]:
        """Play rows by commits, with a look by another controller after each."""
        for start in range(0, len(rows), N_COMMIT):
            self.commit(folder, rows[start : start + N_COMMIT], start)
            now = START + timedelta(seconds=start + N_COMMIT)
            captured = Fold(folder, SETTINGS, {"v1": self.watch}.get).read("v1", now)
        newest = newest_answers(captured.predictions, captured.labels, "v1", SETTINGS.window_rows)
        return captured, signals(self.watch, captured.lives, captured.delays, newest, SETTINGS, now=now)


@pytest.fixture(scope="module", params=["elec2", "bike_sharing_hourly"])
def played(request: pytest.FixtureRequest, real_data: Callable[[str], Path]) -> Played:
    return Played.of(Recorded.of(request.param, real_data(f"{request.param}.parquet")))


def test_rows_of_the_time_that_it_was_graded_on_are_neither_drift_nor_harm(
    played: Played, tmp_path: Path
) -> None:
    drawn = np.random.default_rng(0).integers(N_TRAINED, N_TRAINED + N_GRADED, N_PLAYED)
    _, found = played.seen(Home(tmp_path).pipeline("p"), drawn.tolist())
    assert found.harm is not None and found.estimated is not None
    assert (found.harm.harmed, [one.of for one in found.slices if one.harmed]) == (False, [])
    assert [one.column for one in found.outputs if one.drifted] == []
    assert found.estimated.basis == "estimated and corrected" and found.estimated.measured is not None
    assert found.estimated.low < found.estimated.measured < found.estimated.high


def test_later_rows_in_their_order_and_a_file_that_is_lost(played: Played, tmp_path: Path) -> None:
    n = played.recorded.rows.num_rows
    later = list(range(n - N_PLAYED, n))
    folder = Home(tmp_path).pipeline("p")
    captured, found = played.seen(folder, later)
    assert found.harm is not None and found.harm.harmed
    drifted = {one.column for one in found.inputs if one.drifted}
    # Victoria's market opened; the weather of a season lies within what the order of a year of rows shows.
    assert drifted == ({"vicprice", "transfer"} if played.recorded.task.classes else set())
    folder.fold.unlink()
    now = START + timedelta(seconds=N_PLAYED)
    again = Fold(folder, SETTINGS, {"v1": played.watch}.get).read("v1", now).lives
    assert again.counts == captured.lives.counts, "to the last bit, as it is made of whole numbers"
    assert again.labels.shown == captured.lives.labels.shown
    for (start, a), (other, b) in zip(
        again.labels.harm.tests.parts, captured.lives.labels.harm.tests.parts, strict=True
    ):
        assert (start, a.n) == (other, b.n)
        assert a.log_wealth == pytest.approx(b.log_wealth, rel=1e-9)
