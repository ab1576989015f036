"""Values that are the same in another unit: cents for euros, pounds for kilograms.

In another unit every quantile is a multiple of what it was, by one factor. Where quantiles moved apart from
each other, values drifted, whatever the cause.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from raypipe.monitoring.reference import NumberBins, ReferenceColumn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_VALUES = 100
MIN_FACTOR = 1.5
MAX_SPREAD = 0.2
"""By how much, as a logarithm, the quantiles' factors may differ from their median."""
_MIN_QUANTILES = 3


def unit_factor(one: ReferenceColumn, live: Floats) -> float | None:
    """Return the factor by which live values are those of the reference; None where they are not.

    `live` are finite values. Factors between 1 / 1.5 and 1.5 are no change of unit.
    """
    import numpy as np

    if not isinstance(one.bins, NumberBins) or len(live) < MIN_VALUES:
        return None
    counted = np.array(one.counts[1:-2], np.float64)
    shares = np.cumsum(counted)[:-1] / max(1.0, counted.sum())
    before, now = np.array(one.bins.edges[:-1]), np.quantile(live, shares, method="inverted_cdf")
    kept = (before != 0) & (now != 0)
    if kept.sum() < _MIN_QUANTILES or (np.sign(before[kept]) != np.sign(now[kept])).any():
        return None
    logs = np.log(now[kept] / before[kept])
    middle = float(np.median(logs))
    if abs(middle) < math.log(MIN_FACTOR) or float(np.abs(logs - middle).max()) > MAX_SPREAD:
        return None
    return math.exp(middle)
