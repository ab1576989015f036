"""A mean from few measured rows and many estimated ones: exact as the estimates are, true whatever they are.

Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan, Zrnic, Science 2023) corrects the mean
of the estimates by what they got wrong on the measured rows, which must be a random draw. How much weight the
estimates get is fitted (PPI++; Angelopoulos, Duchi, Zrnic 2023), so that bad ones do no harm. The interval is
the normal approximation, for one look; from some hundred measured rows on it holds its share.

    >>> import numpy as np
    >>> random = np.random.default_rng(1)
    >>> truth = random.random(20_000)
    >>> guess = truth + random.normal(scale=0.1, size=20_000)
    >>> found = prediction_powered(truth[:200], guess[:200], guess[200:])
    >>> alone = prediction_powered(truth[:200], np.zeros(200), np.zeros(19_800))
    >>> round(found.value, 2), round(found.high - found.low, 2), round(alone.high - alone.low, 2)
    (0.5, 0.03, 0.08)
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raypipe.stats.intervals import Interval

Floats: TypeAlias = npt.NDArray[np.float64]

MIN_MEASURED = 2
"""With fewer measured rows there is no spread to tell the interval from."""


def prediction_powered(
    measured: Floats, estimated_there: Floats, estimated_elsewhere: Floats, *, level: float = 0.95
) -> Interval:
    """Return the mean over all rows, with its interval; NaN with fewer than two measured rows.

    `measured` and `estimated_there` are of the same rows, `estimated_elsewhere` of all others.
    """
    n, n_others = len(measured), len(estimated_elsewhere)
    if n < MIN_MEASURED:
        return Interval(math.nan, math.nan, math.nan)
    weight = _weight(measured, estimated_there, n_others)
    rest = measured - weight * estimated_there
    others = weight * estimated_elsewhere if n_others and weight else np.zeros(1)
    value = float(rest.mean() + others.mean()) if n_others and weight else float(measured.mean())
    spread = math.sqrt(float(rest.var(ddof=1)) / n + float(others.var()) / max(1, n_others))
    half = NormalDist().inv_cdf((1 + level) / 2) * spread
    return Interval(value, value - half, value + half)


def _weight(measured: Floats, estimated: Floats, n_others: int) -> float:
    """Return the weight of the estimates that leaves the least spread, 0 or more."""
    variance = float(estimated.var(ddof=1))
    if not n_others or variance == 0:
        return 0.0
    together = float(np.cov(measured, estimated)[0, 1])
    return max(0.0, together / (variance * (1 + len(measured) / n_others)))
