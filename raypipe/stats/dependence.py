"""How far rows in time order depend on each other: the length of a bootstrap's blocks, read off the rows.

The blocks that make the variance of a mean most exact are (2 G² / D)^(1/3) n^(1/3) rows long, where G and D
follow from the autocovariances; Politis and White (2004) estimate these with a flat-top window whose width
the correlogram decides, here for circular blocks, with the correction of Patton, Politis and White (2009).

A score other than a mean has a series too: by how much it moves where a cell of neighbouring rows weighs
double (its empirical influence: Efron 1992, with the sign of a gain). Cells are rows up to `MAX_CELLS` rows,
and longer beyond, so that this costs less than the bootstrap itself.

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=1000)
    >>> walk = np.convolve(noise, np.ones(50), mode="same")
    >>> block_length([mean_of(noise)], 1000), block_length([mean_of(walk)], 1000)
    (10, 95)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from raypipe.stats.bootstrap import block_length_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

MAX_CELLS = 400
_SIGNIFICANT = 2.0
"""Standard errors beyond which an autocorrelation counts."""
_MIN_QUIET_LAGS = 5
"""So many lags in a row must not count for the correlogram to have died out."""


def block_length(statistics: Sequence[Callable[[Floats], float]], n_rows: int) -> int:
    """Return how many rows a block of neighbours has, for all of the statistics and their differences.

    A statistic takes one weight a row. Never below ceil(n^(1/3)), which is right for rows that are hardly
    dependent, and never above min(3 sqrt(n), n / 3), beyond which there are too few blocks to draw from.
    """
    import numpy as np

    least = block_length_for(n_rows)
    if n_rows < 4:
        return least
    edges = np.linspace(0, n_rows, min(n_rows, MAX_CELLS) + 1).astype(int)
    series = [_influence(statistic, n_rows, edges) for statistic in statistics]
    series += [one - series[0] for one in series[1:]]
    cells = max((optimal_length(one) for one in series), default=1.0)
    most = math.ceil(min(3 * math.sqrt(n_rows), n_rows / 3))
    return max(least, min(math.ceil(cells * n_rows / (len(edges) - 1)), most))


def optimal_length(series: Floats) -> float:
    """Return the best length of circular blocks for the mean of a series, 1 where nothing depends.

    Values that are not finite make the series unusable: then it is 1.
    """
    import numpy as np

    n = len(series)
    if n < 4 or not np.isfinite(series).all() or np.ptp(series) == 0.0:
        return 1.0
    covariances = _autocovariances(series)
    width = 2 * _last_significant_lag(covariances / covariances[0], n)
    lags = np.arange(1, min(width, n - 1) + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - lags / max(width, 1)))
    tapered = window * covariances[lags]
    slope = 2.0 * float(np.abs(lags) @ tapered)
    level = float(covariances[0]) + 2.0 * float(tapered.sum())
    if slope == 0.0 or level == 0.0:
        return 1.0
    return max(1.0, float((1.5 * slope**2 / level**2 * n) ** (1 / 3)))


def _influence(statistic: Callable[[Floats], float], n_rows: int, edges: NDArray[np.int64]) -> Floats:
    """Return by how much the statistic moves for a row of each cell that weighs double."""
    import numpy as np

    weights = np.ones(n_rows)
    base = statistic(weights)
    moved = np.empty(len(edges) - 1)
    for i, (start, end) in enumerate(pairwise(edges)):
        weights[start:end] = 2.0
        moved[i] = (statistic(weights) - base) / (end - start)
        weights[start:end] = 1.0
    return moved


def _autocovariances(series: Floats) -> Floats:
    """Return those of all lags from 0 on, each divided by the length."""
    import numpy as np

    n, centred = len(series), series - series.mean()
    spectrum = np.fft.rfft(centred, 2 * n)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[:n] / n)


def _last_significant_lag(correlations: Floats, n: int) -> int:
    """Return the lag after which the correlogram stays within its noise for some lags; 0: from the start."""
    import numpy as np

    n_quiet = max(_MIN_QUIET_LAGS, math.ceil(math.sqrt(math.log10(n))))
    longest = min(math.ceil(math.sqrt(n)) + n_quiet, n - 1)
    counts = np.abs(correlations[1 : longest + 1]) >= _SIGNIFICANT * math.sqrt(math.log10(n) / n)
    for lag in range(len(counts) - n_quiet + 1):
        if not counts[lag : lag + n_quiet].any():
            return lag
    significant = np.flatnonzero(counts)
    return int(significant[-1]) + 1 if len(significant) else 0
