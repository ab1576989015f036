"""One trial: train a family part by part, and score each part on the validation rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from raypipe.core.errors import TrainingError
from raypipe.stats.metrics import METRICS
from raypipe.training.family import Continuing, Family, Params, Terms
from raypipe.training.models import Model, predicted
from raypipe.training.race import TrainingSet
from raypipe.training.search import N_RECENT


@dataclass(frozen=True)
class RungReport:
    """How far a trial is."""

    rung: int
    score: float
    """The best validation score of the rungs so far."""
    train_s: float
    """Seconds of training, scoring left out."""
    format: str
    model: Model | None
    """The model of this rung where it is the best so far; to be saved before the trial goes on."""


def run_trial(
    family: Family,
    params: Params,
    data: TrainingSet,
    terms: Terms,
    *,
    timer: Callable[[], float],
    report: Callable[[RungReport], None],
    start: Model | None = None,
) -> None:
    """Train, from a model on where one is given, and report after each rung; `report` may raise to stop it.

    A parameter `n_recent` is the trial's own: how many of the newest training rows the family learns from;
    with a model to go on from, all are new.
    Raises TrainingError where the model predicts what is no number.
    """
    metric = METRICS[data.task.metric]
    best: float | None = None
    own = {name: value for name, value in params.items() if name != N_RECENT}
    if start is not None and isinstance(family, Continuing):
        rungs = family.train_on(start, own, data, terms)
    else:
        recent = data.recent(int(params[N_RECENT])) if N_RECENT in params else data
        rungs = family.train(own, recent, terms)
    for rung, model, train_s in _timed(rungs, timer):
        score = score_of(model, data)
        improved = best is None or metric.gain(score, best) > 0
        best = score if best is None or improved else best
        report(RungReport(rung, best, train_s, model.format, model if improved else None))


def score_of(model: Model, data: TrainingSet) -> float:
    """Return the task's metric on the validation rows."""
    import numpy as np

    prediction = predicted(model, data.x_validation)
    if not np.isfinite(prediction).all():
        raise TrainingError("the model predicts values that are no numbers: the training diverged.")
    return METRICS[data.task.metric](data.y_validation, prediction)


def _timed(
    rungs: Iterator[tuple[int, Model]], timer: Callable[[], float]
) -> Iterator[tuple[int, Model, float]]:
    """Add the seconds spent in training so far, and not those between."""
    spent_s = 0.0
    while True:
        start = timer()
        part = next(rungs, None)
        spent_s += timer() - start
        if part is None:
            return
        yield part[0], part[1], spent_s
