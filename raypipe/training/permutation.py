"""Importance by permutation (Breiman 2001; for any model: Fisher, Rudin, Dominici 2019), by source column.

A column's values are shuffled among the rows, the features are made anew and the model predicts: by how much
the score worsens is what the model takes from that column. Values are shuffled before they are encoded, so
that a category counts once, however many features it has, and features of several columns are right too.

The interval covers both what chance there is: which rows there are (the bootstrap of
`raypipe.stats.bootstrap`, in blocks where rows are in time order) and how they were shuffled (each resample
draws from the repeats with replacement). Score and shuffled score are paired on each resample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from raypipe.processing.steps import FittedStep
from raypipe.processing.transform import FittedTransform
from raypipe.stats.bootstrap import MIN_RESAMPLES, bootstrap, n_blocks_in, percentile_interval
from raypipe.stats.dependence import block_length
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import METRICS, Metric
from raypipe.training.models import Float32Matrix, Float64Array, Model

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Rows to measure on: as they came, as features, and what should be predicted for them."""

    rows: pa.Table
    """The inputs of the transform."""
    features: Float32Matrix
    target: Target
    ordered_by_time: bool


@dataclass(frozen=True)
class Shuffles:
    """How rows are shuffled: equal values, equal shuffles, for one column and repeat wherever it is done."""

    repeats: int
    seed: int

    def order(self, n_rows: int, column: int, repeat: int) -> NDArray[np.int64]:
        """Return the row that each row takes its value from."""
        return np.random.default_rng((self.seed, column, repeat)).permutation(n_rows)


def drawn_rows(n_rows: int, limit: int, seed: int) -> NDArray[np.int64]:
    """Return the places of at most `limit` rows drawn without replacement, in their order."""
    if n_rows <= limit:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, limit, replace=False))


@dataclass(frozen=True)
class Measurement:
    """All that measuring a column takes, beside the model."""

    sample: Sample
    transform: FittedTransform
    metric: str
    shuffles: Shuffles

    def of(self, column: str, model: Model) -> Interval:
        """Return by how much the score worsens where a column's values are shuffled."""
        sample, metric = self.sample, METRICS[self.metric]
        scored = [
            metric.prepare(sample.target, model.predict(features))
            for features in (sample.features, *self._shuffled(column))
        ]
        n_rows = len(sample.target)
        length = block_length(scored[:1], n_rows) if sample.ordered_by_time else 1
        draws = bootstrap(
            scored, n_rows, seed=self.shuffles.seed, n_resamples=MIN_RESAMPLES, block_length=length
        )
        every = np.ones(n_rows)
        scores, n_blocks = np.array([score(every) for score in scored]), n_blocks_in(n_rows, length)
        return _interval(metric, scores, draws, n_blocks, self.shuffles.seed)

    def score(self, model: Model) -> float:
        """Return the model's score on the sample."""
        return METRICS[self.metric](self.sample.target, model.predict(self.sample.features))

    def _shuffled(self, column: str) -> Iterator[Float32Matrix]:
        """Yield the features with the column's values shuffled; what other columns give stays as it is."""
        rows, number = self.sample.rows, self.sample.rows.column_names.index(column)
        steps, places = steps_of(self.transform, column)
        part = FittedTransform(steps, ())
        for repeat in range(self.shuffles.repeats):
            order = self.shuffles.order(rows.num_rows, number, repeat)
            shuffled = rows.set_column(number, column, rows.column(column).take(order))
            features = self.sample.features.copy()
            features[:, places] = part.transform_table(shuffled)
            yield features


def steps_of(transform: FittedTransform, column: str) -> tuple[tuple[FittedStep, ...], list[int]]:
    """Return the steps that read a column, and the places of their features."""
    steps: list[FittedStep] = []
    places: list[int] = []
    start = 0
    for step in transform.steps:
        end = start + len(step.feature_names)
        if any(read.name == column for read in step.inputs):
            steps.append(step)
            places += range(start, end)
        start = end
    return tuple(steps), places


def _interval(
    metric: Metric, scores: Float64Array, draws: Float64Array, n_blocks: int, seed: int
) -> Interval:
    """Return the mean loss over the repeats; the model's own score comes first in `scores` and `draws`."""
    sign = 1.0 if metric.larger_is_better else -1.0
    losses = sign * (draws[:, :1] - draws[:, 1:])
    repeats = np.random.default_rng(seed).integers(losses.shape[1], size=losses.shape)
    means = np.take_along_axis(losses, repeats, axis=1).mean(axis=1)
    ends = percentile_interval(means, n_blocks=n_blocks)
    return Interval(float((sign * (scores[0] - scores[1:])).mean()), *ends)
