"""Weighing the columns of a run's winner: what each is worth on validation rows, what is suspicious."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from raypipe.processing.transform import FittedTransform
from raypipe.stats.intervals import Interval
from raypipe.training import flags
from raypipe.training.config import TrainingSettings
from raypipe.training.importance import ColumnImportance, Finding, Importance
from raypipe.training.models import Model, load_model
from raypipe.training.permutation import Measurement, Sample, Shuffles, drawn_rows
from raypipe.training.prepared import Prepared
from raypipe.training.race import Candidate, RaceResult, TrainingSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPREAD_ABOVE_S = 5.0
"""Columns that would take longer in this process are spread over Ray."""
ONE_VALUE = "has only one value"

Spread: TypeAlias = Callable[[Measurement, Candidate, Sequence[str]], Sequence[Interval]]
"""Measures columns elsewhere, in their order, with the same numbers as here."""


@dataclass(frozen=True)
class _Known:
    """What the findings about a column follow from."""

    prepared: Prepared
    rows: flags.Rows
    scores: flags.Scores
    twins: Mapping[str, Mapping[str, str]]


def weigh(
    prepared: Prepared,
    features: TrainingSet,
    race: RaceResult,
    winner: str,
    settings: TrainingSettings,
    *,
    spread: Spread,
    timer: Callable[[], float] = time.perf_counter,
) -> Importance:
    """Return what each column is worth to the winner, on a seeded sample of the validation rows.

    All families are measured alike: the model is only asked to predict.
    """
    limit, seed = settings.importance.rows, settings.seed
    best = next(one for one in race.candidates if one.family == winner)
    model = load_model(best.folder, best.format)
    at = drawn_rows(prepared.split.validation.num_rows, limit, seed)
    measurement = _measurement(prepared, features, at, Shuffles(settings.importance.repeats, seed))
    names = [column.name for column in prepared.transform.inputs]
    # First, as it also wakes the model's library, whose start must not be taken for the time of a column.
    known = _known(prepared, measurement, model, limit, seed)
    values = _measured(measurement, model, best, names, spread, timer)
    weighed = [_weighed(name, value, known) for name, value in zip(names, values, strict=True)]
    return Importance(
        metric=measurement.metric,
        score=known.scores.model,
        n_rows=len(at),
        n_validation_rows=prepared.split.validation.num_rows,
        repeats=settings.importance.repeats,
        columns=(*_ranked(weighed), *_left_out(prepared)),
    )


def _measurement(
    prepared: Prepared,
    features: TrainingSet,
    at: NDArray[np.int64],
    shuffles: Shuffles,
) -> Measurement:
    split, inputs = prepared.split, [column.name for column in prepared.transform.inputs]
    sample = Sample(
        split.validation.select(inputs).take(at),
        features.x_validation[at],
        features.y_validation[at],
        split.by == "time",
    )
    return Measurement(sample, FittedTransform(prepared.transform.steps, ()), prepared.task.metric, shuffles)


def _measured(
    measurement: Measurement,
    model: Model,
    best: Candidate,
    names: Sequence[str],
    spread: Spread,
    timer: Callable[[], float],
) -> list[Interval]:
    """Measure the first column here, and the others where its time says."""
    start = timer()
    first = measurement.of(names[0], model)
    rest_s = (timer() - start) * (len(names) - 1)
    if rest_s > SPREAD_ABOVE_S:
        return [first, *spread(measurement, best, names[1:])]
    return [first, *(measurement.of(name, model) for name in names[1:])]


def _known(prepared: Prepared, measurement: Measurement, model: Model, limit: int, seed: int) -> _Known:
    split, task, sample = prepared.split, prepared.task, measurement.sample
    train = split.train.take(drawn_rows(split.train.num_rows, limit, seed))
    rows = flags.Rows(train, task.encode(train[task.label]), sample.rows, sample.target)
    scores = flags.Scores(task.metric, measurement.score(model), flags.constant(rows, task))
    return _Known(prepared, rows, scores, flags.duplicates(train.select(sample.rows.column_names)))


def _weighed(name: str, value: Interval, known: _Known) -> ColumnImportance:
    alone = flags.alone(known.rows, name, known.prepared.task)
    twins = known.twins[name]
    found = (
        flags.leak(name, alone, known.scores),
        _constant(name, known.prepared),
        flags.duplicate(name, twins),
        flags.useless(name, value, tuple(twins), varies=len(known.rows.sample[name].unique()) > 1),
    )
    n_features = next(one.n_features for one in known.prepared.transform.choices if one.column == name)
    return ColumnImportance(name, n_features, None, value, alone, tuple(one for one in found if one))


def _constant(name: str, prepared: Prepared) -> Finding | None:
    column = prepared.profile[name]
    if column.n_distinct > 1 or 0 < column.n_missing < column.n_rows:
        return None
    return Finding("constant", f"{name} {ONE_VALUE} in all {column.n_rows:,} training rows")


def _ranked(weighed: Sequence[ColumnImportance]) -> list[ColumnImportance]:
    """Order by value, NaN last, and number; equal values keep the order of the columns."""
    ordered = sorted(weighed, key=lambda one: -_finite(one.value))
    return [
        ColumnImportance(one.column, one.n_features, rank, one.value, one.alone, one.findings)
        for rank, one in enumerate(ordered, start=1)
    ]


def _finite(value: Interval | None) -> float:
    return value.value if value is not None and value.value == value.value else float("-inf")


def _left_out(prepared: Prepared) -> list[ColumnImportance]:
    """Return the columns of which no feature was made as they are constant."""
    left_out = [one for one in prepared.transform.choices if not one.used and ONE_VALUE in one.reason]
    why = [Finding("constant", f"{one.column} {one.reason}: it is left out") for one in left_out]
    return [
        ColumnImportance(one.column, 0, None, None, None, (finding,))
        for one, finding in zip(left_out, why, strict=True)
    ]
