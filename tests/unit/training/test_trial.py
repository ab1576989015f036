from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from raypipe.core.errors import TrainingError
from raypipe.testing.training import training_set
from raypipe.training.families.baseline import ConstantModel
from raypipe.training.family import Parameter, Params, Terms, family_of
from raypipe.training.models import Model
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task
from raypipe.training.trial import RungReport, run_trial


class Scripted:
    """A family whose model after each rung predicts the next of the given constants."""

    name = "scripted"
    in_parts = True

    def __init__(self, *values: float) -> None:
        self._values = values
        self.n_trained = 0

    def space(self, _: Task, /) -> tuple[Parameter, ...]:
        return ()

    def train(self, _: Params, data: TrainingSet, terms: Terms, /) -> Iterator[tuple[int, Model]]:
        for rung, value in enumerate(self._values, start=1):
            self.n_trained += 1
            yield rung, ConstantModel((), value)


class Ticking:
    """A timer that moves by one second whenever it is read."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1.0
        return self._now


def reports_of(*values: float) -> list[RungReport]:
    data = training_set(0)
    reports: list[RungReport] = []
    run_trial(Scripted(*values), {}, data, Terms(3, 0, 1), timer=Ticking(), report=reports.append)
    return reports


def test_each_rung_reports_the_best_so_far_and_hands_over_a_model_only_where_it_is_better() -> None:
    far, near, nearer = 0.0, 900.0, 1000.0
    reports = reports_of(near, far, nearer)
    assert [report.rung for report in reports] == [1, 2, 3]
    assert [report.model is None for report in reports] == [False, True, False]
    assert reports[0].score == reports[1].score > reports[2].score
    assert [report.format for report in reports] == ["constant-json"] * 3


def test_only_training_counts_as_training_seconds() -> None:
    assert [report.train_s for report in reports_of(1.0, 2.0, 3.0)] == [1.0, 2.0, 3.0]


def test_a_report_that_raises_ends_the_training() -> None:
    family = Scripted(1.0, 2.0, 3.0)

    def stop(report: RungReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(family, {}, training_set(0), Terms(3, 0, 1), timer=Ticking(), report=stop)
    assert family.n_trained == 1


def test_a_model_that_diverged_fails_the_trial() -> None:
    with pytest.raises(TrainingError, match="diverged"):
        reports_of(float(np.nan))


def test_a_trial_learns_from_the_newest_rows_alone_if_told_so() -> None:
    data = training_set(2, n_rows=240)
    seen: list[int] = []

    class Counting:
        name, in_parts = "counting", False

        def space(self, task: Task) -> tuple[()]:
            return ()

        def train(self, params: Params, data: TrainingSet, terms: Terms) -> Iterator[tuple[int, Model]]:
            seen.append(len(data.y_train))
            assert "n_recent" not in params
            yield from family_of("baseline").train(params, data, terms)

    for params in ({}, {"n_recent": 50}):
        run_trial(Counting(), params, data, Terms(1, 0, 1), timer=lambda: 0.0, report=lambda _: None)
    assert seen == [len(data.y_train), 50]
