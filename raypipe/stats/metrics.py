"""Scores of predictions, prepared once for many weightings of the same rows.

A bootstrap weighs the same rows a thousand times, so each metric does what does not depend on the
weights (sorting, losses of single rows) once, and then scores a weighting in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

Weighted: TypeAlias = "Callable[[Floats], float]"
"""From one weight a row to the score."""


@dataclass(frozen=True)
class Metric:
    """A score of predictions; NaN where the rows do not define it (as auc on one class)."""

    name: str
    larger_is_better: bool
    prepare: Callable[[Target, Floats], Weighted]
    """From targets (n,) and predictions, probabilities (n, n_classes) or values (n,), to a weighted score."""

    def __call__(self, y: Target, prediction: Floats, weights: Floats | None = None) -> float:
        """Return the score of `prediction` for the targets `y`; by default all rows weigh 1."""
        import numpy as np

        return self.prepare(y, prediction)(np.ones(len(y)) if weights is None else weights)

    def gain(self, score: float, over: float) -> float:
        """Return how much better `score` is than `over`: positive is better, whatever the metric."""
        return score - over if self.larger_is_better else over - score


def _auc(y: Target, probabilities: Floats) -> Weighted:
    """Area under the ROC curve; over more than two classes the plain mean of one-against-rest areas.

    A class without rows, or with all rows, has no area and is left out of the mean.
    """
    if probabilities.shape[1] == 2:
        return _binary_auc(y == 1, probabilities[:, 1])
    parts = [_binary_auc(y == k, probabilities[:, k]) for k in range(probabilities.shape[1])]
    return lambda weights: _mean_of_defined([part(weights) for part in parts])


def _binary_auc(positive: NDArray[np.bool_], score: Floats) -> Weighted:
    """P(score of a positive > score of a negative) + P(equal) / 2 (Mann, Whitney 1947), sorted once."""
    import numpy as np

    positives, negatives = (
        _by_score(np.flatnonzero(positive), score),
        _by_score(np.flatnonzero(~positive), score),
    )
    below = np.searchsorted(score[negatives], score[positives], side="left")
    not_above = np.searchsorted(score[negatives], score[positives], side="right")

    def area(weights: Floats) -> float:
        of_positive = weights[positives]
        up_to = np.concatenate(([0.0], np.cumsum(weights[negatives])))
        n_pairs = float(of_positive.sum()) * float(up_to[-1])
        won = float(of_positive @ up_to[below]) + float(of_positive @ up_to[not_above])
        return won / 2 / n_pairs if n_pairs > 0 else float("nan")

    return area


def _by_score(rows: NDArray[np.int64], score: Floats) -> NDArray[np.int64]:
    import numpy as np

    return rows[np.argsort(score[rows], kind="stable")]


def _mean_of_defined(values: list[float]) -> float:
    defined = [value for value in values if value == value]
    return sum(defined) / len(defined) if defined else float("nan")


def _weighted_mean(of_row: Floats) -> Weighted:
    def mean(weights: Floats) -> float:
        total = float(weights.sum())
        return float(weights @ of_row) / total if total > 0 else float("nan")

    return mean


def _accuracy(y: Target, probabilities: Floats) -> Weighted:
    import numpy as np

    return _weighted_mean((np.argmax(probabilities, axis=1) == y).astype(np.float64))


def _log_loss(y: Target, probabilities: Floats) -> Weighted:
    """Mean of -log p(true class), p kept at least one float64 epsilon from 0 and 1, as scikit-learn does."""
    import numpy as np

    of_true = probabilities[np.arange(len(y)), y.astype(np.int64)].astype(np.float64)
    epsilon = float(np.finfo(np.float64).eps)
    return _weighted_mean(-np.log(np.clip(of_true, epsilon, 1.0 - epsilon)))


def _mae(y: Target, values: Floats) -> Weighted:
    import numpy as np

    return _weighted_mean(np.abs(values - y))


def _rmse(y: Target, values: Floats) -> Weighted:
    mean_square = _weighted_mean((values - y) ** 2)
    return lambda weights: mean_square(weights) ** 0.5


def _r2(y: Target, values: Floats) -> Weighted:
    """1 - residual sum of squares / sum of squares around the weighted mean; NaN for constant targets."""
    import numpy as np

    centred = y - np.mean(y) if len(y) else y.astype(np.float64)
    error, first, second = (
        _weighted_mean((values - y) ** 2),
        _weighted_mean(centred),
        _weighted_mean(centred**2),
    )

    def r2(weights: Floats) -> float:
        spread = second(weights) - first(weights) ** 2
        return 1.0 - error(weights) / spread if spread > 0 else float("nan")

    return r2


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("auc", True, _auc),
        Metric("accuracy", True, _accuracy),
        Metric("log_loss", False, _log_loss),
        Metric("mae", False, _mae),
        Metric("rmse", False, _rmse),
        Metric("r2", True, _r2),
    )
}
