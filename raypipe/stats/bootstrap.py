"""Intervals by resampling: how far a score would move had other rows been drawn.

The percentile bootstrap (Efron 1979): draw as many rows as there are, with replacement, many times; the
2.5% and 97.5% quantiles of the scores are the interval. A draw is kept as a weight a row (how often it was
drawn), so that scores of different predictions on the same draw are paired.

Rows in time order resemble their neighbours, and drawing them one by one gives intervals that are too
narrow. There, blocks of neighbours are drawn (moving blocks: Künsch 1989; on a circle, so that each row is
drawn equally often: Politis, Romano 1992); `raypipe.stats.dependence` reads off the rows how long blocks
should be, and ceil(n^(1/3)) is the least. Of few blocks the interval would be too narrow once more, so its
ends move outwards as Student's quantiles do (the expanded percentile interval: Hesterberg 2015).

    >>> import numpy as np
    >>> losses = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    >>> draws = bootstrap([lambda weights: float(weights @ losses / weights.sum())], 8, seed=0)
    >>> percentile_interval(draws[:, 0])
    (0.25, 1.0)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

MAX_RESAMPLES = 1_000
MIN_RESAMPLES = 200
"""Enough for the ends of an interval to settle to a few percent of its width."""
MAX_DRAWN_ROWS = 20_000_000


def n_resamples_for(n_rows: int) -> int:
    """Return 1,000 up to 20,000 rows, and fewer beyond, down to 200 from 100,000 rows on."""
    return min(MAX_RESAMPLES, max(MIN_RESAMPLES, MAX_DRAWN_ROWS // max(n_rows, 1)))


def block_length_for(n_rows: int) -> int:
    """Return ceil(n^(1/3)), the rows of a block of neighbours."""
    root = round(math.cbrt(n_rows))
    return max(1, root if root**3 >= n_rows else root + 1)


def resampled_weights(n_rows: int, *, n_resamples: int, block_length: int, seed: int) -> Iterator[Floats]:
    """Yield, for each resample, how often each row was drawn (float64, sums to `n_rows`).

    Equal arguments give equal weights; blocks run over the end of the rows to their start.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    length = min(block_length, n_rows)
    for _ in range(n_resamples):
        starts = random.integers(n_rows, size=-(-n_rows // length))
        yield _counts(starts, length, n_rows)


def _counts(starts: NDArray[np.int64], length: int, n_rows: int) -> Floats:
    """Count how often blocks from `starts` on cover each row; the last block is cut so that the sum fits."""
    import numpy as np

    if length == 1:
        return np.bincount(starts, minlength=n_rows).astype(np.float64)
    ends = starts + length
    ends[-1] -= len(starts) * length - n_rows
    changes = (
        np.bincount(starts, minlength=n_rows + length)
        - np.bincount(ends, minlength=n_rows + length)[: n_rows + length]
    )
    covered = np.cumsum(changes)
    counts = covered[:n_rows].astype(np.float64)
    counts[:length] += covered[n_rows:]
    return counts


def bootstrap(
    statistics: Sequence[Callable[[Floats], float]],
    n_rows: int,
    *,
    seed: int,
    n_resamples: int | None = None,
    block_length: int = 1,
) -> Floats:
    """Return each statistic on each resample, shape (n_resamples, n_statistics).

    A statistic takes one weight a row. All see the same resamples, so the difference of two columns is
    paired. A block length above 1 is for rows in time order.
    """
    import numpy as np

    n = n_resamples_for(n_rows) if n_resamples is None else n_resamples
    if n_rows == 0:
        return np.full((n, len(statistics)), np.nan)
    resamples = resampled_weights(n_rows, n_resamples=n, block_length=block_length, seed=seed)
    return np.array([[statistic(weights) for statistic in statistics] for weights in resamples])


def percentile_interval(
    draws: Floats, level: float = 0.95, *, n_blocks: int | None = None
) -> tuple[float, float]:
    """Return the ends of the central interval of `draws`, NaN left out; NaN where nothing is left.

    `n_blocks` is how many blocks (or single rows) each resample drew; without it, so many that it is no
    matter. A resample may lack a class and so have no score; those that have one decide.
    """
    import numpy as np

    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return math.nan, math.nan
    tail = _tail((1.0 - level) / 2, n_blocks)
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return float(low), float(high)


def n_blocks_in(n_rows: int, block_length: int) -> int:
    """Return how many blocks a resample draws, the last of which may be cut."""
    return -(-n_rows // min(block_length, n_rows)) if n_rows else 0


def _tail(tail: float, n_blocks: int | None) -> float:
    """Return which share of the draws to leave out at each end, less the fewer blocks there are."""
    if n_blocks is None:
        return tail
    if n_blocks < 2:
        return 0.0
    from scipy.special import ndtr, stdtrit

    quantile = stdtrit(n_blocks - 1, tail) * math.sqrt(n_blocks / (n_blocks - 1))
    return float(ndtr(quantile))
