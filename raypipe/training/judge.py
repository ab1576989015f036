"""Judging each family's best on the test rows, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from raypipe.stats.bootstrap import bootstrap, n_blocks_in, percentile_interval
from raypipe.stats.dependence import block_length
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import METRICS
from raypipe.training.leaderboard import BASELINE, Leaderboard, LeaderboardEntry
from raypipe.training.models import Float32Matrix, Float64Array, Model, load_model, predicted
from raypipe.training.race import Candidate, RaceResult, TrainingSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

_N_TIMED_CALLS = 50


def judge(
    result: RaceResult,
    data: TrainingSet,
    x_test: Float32Matrix,
    y_test: Target,
    *,
    ordered_by_time: bool,
    seed: int,
    timer: Callable[[], float] = time.perf_counter,
) -> Leaderboard:
    """Score every candidate on the test rows, with 95% bootstrap intervals, and name the winner.

    The winner has the best validation score. All candidates are scored on the same resamples, so that
    differences are paired; rows in time order are resampled in blocks. Takes seconds: the number of
    resamples falls from 1,000 to 200 as the test rows grow to 100,000.
    """
    metric = METRICS[data.task.metric]
    ranked = sorted(result.candidates, key=lambda one: -metric.gain(one.score, 0.0))
    models = [load_model(candidate.folder, candidate.format) for candidate in ranked]
    test = _Scores.of(models, x_test, y_test, data.task.metrics, ordered_by_time, seed)
    validation = _Scores.of(
        models, data.x_validation, data.y_validation, (metric.name,), ordered_by_time, seed
    )
    baseline = next((i for i, one in enumerate(ranked) if one.family == BASELINE), None)
    entries = [
        _entry(i, candidate, validation, test, baseline, _latency_us(model, x_test, timer))
        for i, (candidate, model) in enumerate(zip(ranked, models, strict=True))
    ]
    return Leaderboard(
        metric=metric.name,
        larger_is_better=metric.larger_is_better,
        winner=ranked[0].family,
        entries=tuple(entries),
        n_validation_rows=len(data.y_validation),
        n_test_rows=len(y_test),
        resampling="blocks" if ordered_by_time else "rows",
    )


@dataclass(frozen=True)
class _Scores:
    """Each model's score by each metric on some rows, and on resamples of them."""

    metrics: Sequence[str]
    values: Float64Array
    """Shape (n_models, n_metrics)."""
    draws: Float64Array
    """Shape (n_resamples, n_models, n_metrics)."""
    n_blocks: int
    """How many blocks, or single rows, each resample drew."""

    @staticmethod
    def of(
        models: Sequence[Model],
        x: Float32Matrix,
        y: Target,
        metrics: Sequence[str],
        ordered_by_time: bool,
        seed: int,
    ) -> _Scores:
        scored = [
            METRICS[name].prepare(y, prediction)
            for prediction in (predicted(model, x) for model in models)
            for name in metrics
        ]
        length = block_length(scored[:: len(metrics)], len(y)) if ordered_by_time else 1
        draws = bootstrap(scored, len(y), seed=seed, block_length=length)
        values = np.array([score(np.ones(len(y))) for score in scored])
        shape = (len(models), len(metrics))
        return _Scores(metrics, values.reshape(shape), draws.reshape(-1, *shape), n_blocks_in(len(y), length))

    def interval(self, model: int, metric: int = 0) -> Interval:
        ends = percentile_interval(self.draws[:, model, metric], n_blocks=self.n_blocks)
        return Interval(float(self.values[model, metric]), *ends)

    def gain(self, model: int, over: int) -> Interval:
        """Return how much better one model is than another by the first metric, paired."""
        sign = 1.0 if METRICS[self.metrics[0]].larger_is_better else -1.0
        value = sign * (self.values[model, 0] - self.values[over, 0])
        drawn = sign * (self.draws[:, model, 0] - self.draws[:, over, 0])
        ends = percentile_interval(drawn, n_blocks=self.n_blocks)
        return Interval(float(value), *ends)


def _entry(
    i: int,
    candidate: Candidate,
    validation: _Scores,
    test: _Scores,
    baseline: int | None,
    predict_us: float,
) -> LeaderboardEntry:
    return LeaderboardEntry(
        family=candidate.family,
        trial_id=candidate.trial_id,
        format=candidate.format,
        params=candidate.params,
        validation=validation.interval(i),
        test=test.interval(i),
        other_metrics=_others(i, test),
        behind_winner=test.gain(0, i) if i else None,
        over_baseline=test.gain(i, baseline) if baseline is not None and i != baseline else None,
        train_s=candidate.train_s,
        predict_us=predict_us,
        size_bytes=_size_bytes(candidate.folder),
    )


def _others(model: int, test: _Scores) -> Mapping[str, Interval]:
    return {name: test.interval(model, k) for k, name in enumerate(test.metrics) if k}


def _latency_us(model: Model, features: Float32Matrix, timer: Callable[[], float]) -> float:
    """Return the median microseconds of predicting one row, over 50 calls after a first one."""
    row = np.ascontiguousarray(features[:1])
    model.predict(row)
    spent_s = []
    for _ in range(_N_TIMED_CALLS):
        start = timer()
        model.predict(row)
        spent_s.append(timer() - start)
    return median(spent_s) * 1e6


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
