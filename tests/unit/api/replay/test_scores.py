"""The loop's live answers beside the first champion's and a constant's, on the same rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.api.replay.answers import LiveAnswers, answer_of
from raypipe.api.replay.scores import score
from raypipe.core.errors import DataError
from raypipe.core.ids import Json
from raypipe.data.canonical import TYPES
from raypipe.data.schema import Column
from raypipe.processing.steps import FittedNumber
from raypipe.processing.transform import FittedTransform
from raypipe.serving.predictor import Predictor
from raypipe.stats.intervals import Interval
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.models import Float32Matrix, Float64Array
from raypipe.training.task import Task

START = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES = Task("classification", "outcome", ("bad", "good"), "auc")
AMOUNTS = Task("regression", "outcome", (), "mae")
N = 80
X = np.linspace(0.0, 1.0, N)


class Echo:
    """Answers with its one feature: as the probability of the second class, or as the value."""

    format = "echo"

    def __init__(self, task: Task) -> None:
        self._task = task

    def predict(self, features: Float32Matrix) -> Float64Array:
        x = features[:, 0].astype(np.float64)
        return np.column_stack([1 - x, x]) if self._task.classes else x

    def save(self, folder: Path) -> None: ...


def champion(task: Task) -> Predictor:
    step = FittedNumber(Column("x", "number", False), 0.0, 0.0, 1.0, 0.0, 1.0, False)
    return Predictor(FittedTransform((step,), ()), task, Echo(task))


def played(labels: list[object]) -> pa.Table:
    times = pa.array([START + timedelta(hours=hour) for hour in range(N)], TYPES["timestamp"])
    return pa.table({"at": times, "x": X, "outcome": labels})


def classified(x: float) -> Json:
    return {"id": "i", "prediction": "good", "probabilities": {"bad": 1 - x, "good": x}}


def live(task: Task, answers: list[Json]) -> LiveAnswers:
    found = LiveAnswers(task, N)
    for first in range(0, len(answers), 7):
        found.take(first, f"v{1 + first // 40}", answers[first : first + 7])
    return found


ALTERNATING: list[object] = ["bad", "good"] * (N // 2)
SHARES = ConstantModel((0.5, 0.5), None)


def test_a_loop_that_never_changed_is_the_frozen_champion() -> None:
    exact = X.astype(np.float32).astype(np.float64).tolist()
    answers = live(CLASSES, [classified(x) for x in exact])
    found = score(played(ALTERNATING), "at", answers, champion(CLASSES), SHARES, seed=0)
    assert all(line.loop == line.frozen for line in found.lines)
    assert {line.gain for line in found.lines} == {Interval(0.0, 0.0, 0.0)}
    assert found.whole.constant == Interval(0.5, 0.5, 0.5)
    assert (found.whole.metric, found.whole.n_rows) == ("auc", N)
    assert [line.metric for line in found.other_metrics] == ["accuracy", "log_loss"]


def test_the_quarters_take_all_rows_in_order_of_time() -> None:
    answers = live(CLASSES, [classified(float(x)) for x in X])
    found = score(played(ALTERNATING), "at", answers, champion(CLASSES), SHARES, seed=0)
    starts = [(START + timedelta(hours=hour)).isoformat() for hour in (0, 20, 40, 60)]
    assert [(line.of, line.n_rows) for line in found.quarters] == [(start, 20) for start in starts]


def test_a_better_loop_gains_where_it_was_better() -> None:
    y = [2.0 if n >= N // 2 else float(X[n]) for n in range(N)]
    answers = live(AMOUNTS, [{"id": "i", "prediction": value} for value in y])
    found = score(played(list(y)), "at", answers, champion(AMOUNTS), ConstantModel((), 0.5), seed=0)
    assert found.whole.loop == Interval(0.0, 0.0, 0.0)
    assert [line.gain.value for line in found.quarters[:2]] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert found.quarters[2].gain.low > 1.0 < found.quarters[2].frozen.value
    assert found.quarters[3].constant.value == pytest.approx(1.5)


def test_each_version_is_scored_on_the_rows_that_it_answered() -> None:
    y = [float(X[n]) + (n >= 42) for n in range(N)]
    answers = live(AMOUNTS, [{"id": "i", "prediction": value} for value in y])
    found = score(played(list(y)), "at", answers, champion(AMOUNTS), ConstantModel((), 0.5), seed=0)
    assert [(line.of, line.n_rows) for line in found.versions] == [("v1", 42), ("v2", 38)]
    assert [line.gain.value for line in found.versions] == pytest.approx([0.0, 1.0], abs=1e-6)


def test_versions_that_rank_well_each_by_itself_may_rank_badly_together() -> None:
    """An auc over rows of both compares probabilities that were never meant to be compared."""
    right = [0.9 if label == "good" else 0.8 for label in ALTERNATING[:42]]
    right += [0.2 if label == "good" else 0.1 for label in ALTERNATING[42:]]
    found = score(
        played(ALTERNATING),
        "at",
        live(CLASSES, list(map(classified, right))),
        champion(CLASSES),
        SHARES,
        seed=0,
    )
    assert [line.loop.value for line in found.versions] == [1.0, 1.0]
    assert found.whole.loop.value < 0.8


def test_only_rows_that_were_answered_and_can_be_judged_count_for_all_alike() -> None:
    labels = ["odd", *ALTERNATING[1:]]
    answers: list[Json] = [classified(float(x)) for x in X]
    answers[3] = {"id": "i", "error": {"message": "x must be a finite number"}}
    found = live(CLASSES, answers[:-7])
    assert found.n_refused == 1 and sum(found.rows_by_version.values()) == N - 8
    whole = score(played(labels), "at", found, champion(CLASSES), SHARES, seed=0).whole
    assert whole.n_rows == N - 9, "an error, a label of no class, seven rows of a request that failed"
    with pytest.raises(DataError, match="no row of the replay was answered"):
        score(played(labels), "at", live(CLASSES, []), champion(CLASSES), SHARES, seed=0)


def test_versions_are_counted_by_what_they_answered() -> None:
    found = live(CLASSES, [classified(0.5)] * N)
    assert found.rows_by_version == {"v1": 42, "v2": 38}


@pytest.mark.parametrize(
    ("answer", "classes", "expected"),
    [
        (classified(0.25), ["bad", "good"], [0.75, 0.25]),
        (classified(0.25), ["bad", "good", "new"], [0.75, 0.25, 0.0]),
        ({"id": "i", "prediction": 3}, [], 3.0),
        ({"id": "i", "error": {}}, [], None),
        ({"id": "i", "error": {}}, ["bad", "good"], None),
    ],
)
def test_an_answer_is_read_in_the_order_of_the_classes(
    answer: Json, classes: list[str], expected: object
) -> None:
    assert answer_of(answer, classes) == expected
