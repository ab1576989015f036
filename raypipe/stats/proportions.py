"""Bounds of a mean in [0, 1]: of counted events, of bounded losses, and for all time.

>>> low, high = clopper_pearson(8, 1_000)
>>> round(low, 4), round(high, 4)
(0.0035, 0.0157)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def clopper_pearson(n_events: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a probability (Clopper, Pearson 1934) from `n_events` of `n`, n > 0."""
    tail = (1 - level) / 2
    return 1 - upper_bound(n - n_events, n, delta=tail), upper_bound(n_events, n, delta=tail)


def upper_bound(n_events: int, n: int, *, delta: float) -> float:
    """Return what a probability exceeds with a probability of at most `delta`; 1 without rows."""
    from scipy.special import betaincinv

    if n_events >= n:
        return 1.0
    return float(betaincinv(n_events + 1, n - n_events, 1 - delta))


def bounded_upper_bound(losses: npt.NDArray[np.float64], *, delta: float) -> float:
    """Return what the mean of losses in [0, 1] exceeds with a probability of at most `delta`.

    The empirical Bernstein bound (Maurer and Pontil, COLT 2009, theorem 4), at most 1. For losses of 0 and 1
    `upper_bound` is closer.
    """
    import numpy as np

    n = len(losses)
    if n < 2:
        return 1.0
    log = math.log(2 / delta)
    bound = np.mean(losses) + math.sqrt(2 * np.var(losses, ddof=1) * log / n) + 7 * log / (3 * (n - 1))
    return min(1.0, float(bound))


def lasting_interval(total: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return an interval of a constant mean in [0, 1] that holds at all times at once.

    From the sum of `n` values in [0, 1]: the means against which a Beta(1/2, 1/2) mixture of likelihood
    ratios has not reached 1 / (1 - level) (Robbins 1970; for values between 0 and 1, too, as a likelihood
    ratio lies below its chord; Howard, Ramdas, McAuliffe, Sekhon, Ann. Stat. 2021).

    >>> [round(end, 3) for end in lasting_interval(100.0, 1_000)]
    [0.069, 0.138]
    """
    if not n:
        return 0.0, 1.0
    centre = total / n
    return (
        _end(total, n, 0.0, centre, math.log(1 / (1 - level))),
        _end(total, n, 1.0, centre, math.log(1 / (1 - level))),
    )


def _end(total: float, n: int, outside: float, inside: float, bound: float) -> float:
    for _ in range(60):
        middle = (outside + inside) / 2
        if _log_mixture_ratio(total, n, middle) >= bound:
            outside = middle
        else:
            inside = middle
    return outside


def _log_mixture_ratio(total: float, n: int, p: float) -> float:
    if not 0 < p < 1:
        return math.inf
    mixture = math.lgamma(total + 0.5) + math.lgamma(n - total + 0.5) - math.lgamma(n + 1) - math.log(math.pi)
    return mixture - total * math.log(p) - (n - total) * math.log1p(-p)
