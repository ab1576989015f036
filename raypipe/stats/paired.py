"""Several predictors on the same rows, in time order: their scores, and how much better one is than another.

Intervals are the bootstrap's over blocks of neighbours (see `raypipe.stats.bootstrap`). All predictors are
scored on the same resamples, so gains are paired.

    >>> import numpy as np
    >>> from raypipe.stats.metrics import METRICS
    >>> y = np.array([1.0, 2.0, 3.0, 4.0])
    >>> found = paired(METRICS["mae"], y, {"near": y + 1, "far": y + 3}, seed=0)
    >>> found.score("near"), found.gain("near", over="far")
    (Interval(value=1.0, low=1.0, high=1.0), Interval(value=2.0, low=2.0, high=2.0))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from raypipe.stats.bootstrap import bootstrap, n_blocks_in, percentile_interval
from raypipe.stats.dependence import block_length as length_of
from raypipe.stats.intervals import Interval
from raypipe.stats.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """What `paired` found."""

    metric: Metric
    names: tuple[str, ...]
    values: Floats
    """The scores, shape (n_predictors,)."""
    draws: Floats
    """The scores on each resample, shape (n_resamples, n_predictors)."""
    n_blocks: int
    """How many blocks each resample drew."""

    def score(self, name: str) -> Interval:
        """Return the score of a predictor."""
        i = self.names.index(name)
        return Interval(float(self.values[i]), *self._ends(self.draws[:, i]))

    def gain(self, name: str, *, over: str) -> Interval:
        """Return how much better one predictor is than another: positive is better, whatever the metric."""
        i, j = self.names.index(name), self.names.index(over)
        sign = 1.0 if self.metric.larger_is_better else -1.0
        value = sign * (self.values[i] - self.values[j])
        return Interval(float(value), *self._ends(sign * (self.draws[:, i] - self.draws[:, j])))

    def _ends(self, draws: Floats) -> tuple[float, float]:
        return percentile_interval(draws, n_blocks=self.n_blocks)


def paired(
    metric: Metric,
    y: Target,
    answers: Mapping[str, Floats],
    *,
    seed: int,
    block_length: int | None = None,
) -> Paired:
    """Score predictors by name, each with its answers to all rows.

    Blocks are as long as the rows depend on each other (see `raypipe.stats.dependence`), unless
    `block_length` says otherwise.
    """
    import numpy as np

    scored = [metric.prepare(y, given) for given in answers.values()]
    length = block_length or length_of(scored, len(y))
    draws = bootstrap(scored, len(y), seed=seed, block_length=length)
    values = np.array([score(np.ones(len(y))) for score in scored])
    return Paired(metric, tuple(answers), values, draws, n_blocks_in(len(y), length))
