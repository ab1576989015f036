"""How far counts in the same bins have moved.

Population stability index (Siddiqi, "Credit risk scorecards", 2006): the sum over the bins of
`(p - q) * ln(p / q)`, p and q the bin's shares of rows after and before. Below 0.1 is called stable, above
0.25 a shift. An empty bin would make it infinite, so no share counts as less than 1e-4, nor as less than half
a row of the fewer rows. Without a shift, n and R rows in k bins give (k - 1) * (1/n + 1/R) on average.

Kolmogorov-Smirnov distance: the largest difference of the two distribution functions. It is seen at the edges
of the bins only, and so is at most what single values would give.

    >>> round(psi((90, 10), (50, 50)), 3)
    0.879
    >>> round(psi((100, 0), (90, 10)), 3)
    0.295
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raypipe.stats.counts import Counted, ValueCounts
    from raypipe.stats.histogram import QuantileSketch

MIN_SHARE = 1e-4


def psi(after: Sequence[int], before: Sequence[int]) -> float | None:
    """Return the population stability index of two counts of the same bins; None where one has no rows."""
    n_after, n_before = sum(after), sum(before)
    if not n_after or not n_before:
        return None
    least = max(MIN_SHARE, 0.5 / min(n_after, n_before))
    pairs = zip(_shares(after, n_after, least), _shares(before, n_before, least), strict=True)
    return sum((p - q) * math.log(p / q) for p, q in pairs)


def ks(after: Sequence[int], before: Sequence[int]) -> float | None:
    """Return the largest difference of two distribution functions, counted in the same bins, in order."""
    n_after, n_before = sum(after), sum(before)
    if not n_after or not n_before:
        return None
    pairs = zip(accumulate(after), accumulate(before), strict=True)
    return max(abs(a / n_after - b / n_before) for a, b in pairs)


def _shares(counted: Sequence[int], n: int, least: float) -> list[float]:
    return [max(count / n, least) for count in counted]


def number_bins(
    before: QuantileSketch, after: QuantileSketch, n_bins: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count two sets of values in bins of about equally many values before, and one each below and above.

    The edges are ends of buckets that both sketches have, so that no count is estimated.
    """
    import numpy as np

    from raypipe.stats.histogram import aligned, quantile_places

    first, last = aligned(before, after)
    if not first.any():
        return (before.n, 0), (0, after.n)
    seen = np.flatnonzero(first)
    ends = np.concatenate([[seen[0] - 1], seen[quantile_places(first[seen], n_bins)], [len(first) - 1]])
    binned = [np.diff(np.append(0, np.cumsum(one))[ends + 1], prepend=0).tolist() for one in (first, last)]
    return tuple(binned[0]), tuple(binned[1])


def value_bins(
    before: ValueCounts, after: ValueCounts, n_own: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count the `n_own` most frequent values before in a bin each, and all others in one.

    Beyond the bound of distinct values both are samples of them: a value counts in both or in none.
    """
    first, last = before.at_level_of(after), after.at_level_of(before)
    own = sorted(first, key=lambda value: (-first[value], str(value)))[:n_own]

    def binned(found: Mapping[Counted, int]) -> tuple[int, ...]:
        counts = [found.get(value, 0) for value in own]
        return (*counts, sum(found.values()) - sum(counts))

    return binned(first), binned(last)
