"""How many rows in a row tell as much as one, where rows resemble their neighbours.

With independent rows, the counts of a window scatter around the whole's shares as a multinomial: Pearson's
chi-squared of its bins is n_bins - 1 on average. Where neighbours resemble each other it is larger, by the
design effect (Kish 1965; for categories Rao and Scott, J. Am. Stat. Assoc. 1981): the number of rows alike.
A window must be longer than the resemblance lasts, or part of it goes unseen.

    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> alone = random.multinomial(500, [0.2, 0.3, 0.5], size=200)
    >>> in_tens = 10 * random.multinomial(50, [0.2, 0.3, 0.5], size=200)
    >>> round(n_alike(alone), 1), round(n_alike(in_tens), 1)
    (1.1, 10.8)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def n_alike(windows: npt.ArrayLike) -> float:
    """Return the design effect of counts by window and bin, shape (n_windows, n_bins), at least 1.

    The windows are of rows in their order, all from one time without drift; 1 with fewer than two.
    """
    counted = np.asarray(windows, np.float64)
    counted = counted[counted.sum(-1) > 0]
    counted = counted[:, counted.sum(0) > 0]
    if len(counted) < 2 or counted.shape[1] < 2:
        return 1.0
    expected = counted.sum(-1, keepdims=True) * counted.sum(0) / counted.sum()
    statistic = float(((counted - expected) ** 2 / expected).sum())
    degrees = (counted.shape[0] - 1) * (counted.shape[1] - 1)
    return float(max(1.0, statistic / degrees))
