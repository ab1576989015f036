"""One alarm out of many tests: e-values of features together, and a budget of false alarms over versions.

e-BH (Wang and Ramdas, J. R. Stat. Soc. B 2022): with e-values sorted downwards, those of the largest k with
k * e_k >= K / alpha are rejected. The false discovery rate is at most alpha however the features depend on
each other. Where the e-values come from e-processes of one stream of rows, this holds at any time one stops;
and as a rejection needs a mean e-value of 1 / alpha, the probability that e-BH *ever* rejects anything while
nothing drifts is at most alpha as well (Ville's inequality, applied to the mean).

    >>> import numpy as np
    >>> rejected(np.log([500.0, 0.5, 60.0, 1.0]), np.log(1 / 0.05)).tolist()
    [True, False, True, False]
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]


def rejected(log_e: npt.ArrayLike, log_bound: float) -> npt.NDArray[np.bool_]:
    """Say which tests e-BH rejects; logs of e-values, shape (..., n_tests), and of 1 / alpha."""
    e = np.asarray(log_e, np.float64)
    n = e.shape[-1]
    if not n:
        return np.zeros(e.shape, np.bool_)
    down = -np.sort(-e, axis=-1)
    enough = down + np.log(np.arange(1, n + 1)) >= log_bound + math.log(n)
    n_rejected = np.where(enough, np.arange(1, n + 1), 0).max(-1)
    least = np.take_along_axis(down, np.maximum(n_rejected - 1, 0)[..., None], axis=-1)
    found: npt.NDArray[np.bool_] = (e >= least) & (n_rejected > 0)[..., None]
    return found


def spent(alpha: float, nth: int) -> float:
    """Return the share of `alpha` for the n-th version, from 1 on: alpha / (n * (n + 1)), alpha in all.

    >>> [spent(0.06, n) for n in (1, 2, 3)]
    [0.03, 0.01, 0.005]
    """
    if nth < 1:
        raise ValueError(f"versions are counted from 1 on. Got {nth}.")
    return alpha / (nth * (nth + 1))
