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

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Scatter:
    """How much counts scatter over windows of equally many rows; parts add up.

    >>> round((Scatter.of([200, 800]) + Scatter.of([400, 600])).n_alike, 1)
    95.2
    """

    n_windows: int = 0
    totals: tuple[int, ...] = ()
    squares: tuple[int, ...] = ()
    """Of the counts of each bin, summed over the windows."""

    @classmethod
    def of(cls, counted: Sequence[int]) -> Scatter:
        """Return the scatter of one window."""
        return cls.of_all(np.array([counted], np.int64))

    @classmethod
    def of_all(cls, windows: npt.NDArray[np.int64]) -> Scatter:
        """Return the scatter of windows, shape (n_windows, n_bins)."""
        if not len(windows):
            return cls()
        return cls(len(windows), tuple(windows.sum(0).tolist()), tuple((windows * windows).sum(0).tolist()))

    def __add__(self, other: Scatter) -> Scatter:
        """Return the scatter of the windows of both."""
        if not self.n_windows or not other.n_windows:
            return self if self.n_windows else other
        pairs = zip(self.totals, other.totals, strict=True), zip(self.squares, other.squares, strict=True)
        totals, squares = (tuple(a + b for a, b in one) for one in pairs)
        return Scatter(self.n_windows + other.n_windows, totals, squares)

    @property
    def n_alike(self) -> float:
        """What `n_alike` gives for the windows."""
        seen = [(n, square) for n, square in zip(self.totals, self.squares, strict=True) if n]
        if self.n_windows < 2 or len(seen) < 2:
            return 1.0
        statistic = sum(self.n_windows * square / n - n for n, square in seen)
        return max(1.0, statistic / ((self.n_windows - 1) * (len(seen) - 1)))
