"""What it costs to keep a version on: when the loss that it has come to is worth the price of another.

Let r(t) be by how much the mean loss of a row, t rows after the release, is above its level at release, and
R(t) its sum over those rows. With c, the price of a retrain over the price of a loss, a version that serves T
rows costs (c + R(T)) / T a row, retrain and all. That is least where a further row costs as much as a row has
cost on average,

    T * r(T) - R(T) = c

(Barlow and Hunter, "Optimum preventive maintenance policies", Operations Research 8, 1960; as the marginal
value theorem: Charnov, Theoretical Population Biology 9, 1976). For a loss that grows linearly, r(t) = a * t,
that is T = sqrt(2 * c / a). It assumes that the next version starts where this one did and decays as this one
has: so of a change that came early it expects that the next comes as early, and never asks, though what is
lost is lost for good. So another amount counts as well, what was lost above the level at release: who asks
once that has come to c pays at most twice what it had cost to know (break-even; Karlin, Manasse, Rudolph and
Sleator, Algorithmica 3, 1988). For a linear decay both are a * T**2 / 2.

Measured, r(T) is the mean loss since some row, m', less the level. With n rows before it, of mean loss m,
T * r(T) - R(T) = n * (m' - m): what the level at release was cancels out, and so do answers whose labels are
awaited, if they are as those since. A rise counts, by one standard error less than it is, only where it is
surely one: where the likelihood ratio of two means against one is beyond what it ever reaches without a rise,
over all looks and places, but with a small probability. That is of independent rows; where neighbouring
blocks differ by more than such rows would, the ratio and the standard error allow for it.
`python -m benchmarks.decay` simulates how often a stream without drift asks, and what streams with one cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from raypipe.stats.course import Course

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.002
MIN_KNOWN = 50
"""Fewer labels tell no mean."""
_SHRINKAGE = 8.0
"""So many pairs of blocks' worth of belief that rows are independent."""


@dataclass(frozen=True)
class Decay:
    """What a version's labels show of its wear, as amounts of loss: a row's lies in [0, 1]."""

    n_rows: int
    """Answers since its release, those that wait for labels too."""
    at_release: float
    excess: float
    """What all its answers lost above the level at release; negative where less was lost."""
    n_since: int
    """Of the answers, those since its loss has risen; all of them where it surely has not."""
    loss_since: float
    """Their mean loss."""
    loss_before: float | None
    """The mean loss of the answers before; None without any."""
    marginal: float
    """T * r(T) - R(T): what the answers before would have lost more, had their loss been what it is now."""
    regret: float
    """What was surely lost above the level at release since the loss has risen."""

    @property
    def at_stake(self) -> float:
        """The loss that a retrain of at most that price, as an amount of loss, is worth."""
        return max(self.marginal, self.regret)


class _Part(NamedTuple):
    """Answers up to some place, or from there on, for each place; shapes (n_blocks,)."""

    n: Floats
    mean: Floats
    """NaN where no loss is known."""


def decay(course: Course, n_rows: int, at_release: float, bound: float) -> Decay | None:
    """Return what the labels in the course show of `n_rows` answers; None while they are too few.

    `bound` is an upper bound of the mean loss `at_release`.
    """
    import numpy as np

    rows, known, total = (
        np.array([getattr(block, name) for block in course.blocks], np.float64)
        for name in ("n_rows", "n_known", "total")
    )
    n, level = known.sum(), total.sum() / max(1.0, known.sum())
    if n < MIN_KNOWN:
        return None
    earlier = np.concatenate(([0.0], rows.cumsum()[:-1]))
    since = _part(known[::-1].cumsum()[::-1], total[::-1].cumsum()[::-1])
    before = _part(n - since.n, total.sum() - since.n * np.nan_to_num(since.mean))
    spread = _spread(known, total)
    told = spread * math.log(course.n_windows * (1 + math.log2(course.n_windows)) / ALPHA)
    apart = since.n * _divergence(since.mean, level) + before.n * _divergence(before.mean, level)
    error = np.sqrt(spread * level * (1 - level) * (1 / np.maximum(1, since.n) + 1 / np.maximum(1, before.n)))
    is_told = (apart >= told) & (before.n >= MIN_KNOWN)
    marginal = earlier * _amount(since.mean - before.mean - error, is_told & (since.n >= MIN_KNOWN))
    error = np.sqrt(spread * since.mean * (1 - since.mean) / np.maximum(1, since.n))
    is_told = (since.n * _divergence(since.mean, bound) >= told) & (since.n >= MIN_KNOWN)
    regret = (n_rows - earlier) * _amount(since.mean - bound - error, is_told)
    at = int(np.argmax(np.maximum(marginal, regret)))
    return Decay(
        n_rows=n_rows,
        at_release=at_release,
        excess=float(level - at_release) * n_rows,
        n_since=n_rows - int(earlier[at]),
        loss_since=float(since.mean[at]),
        loss_before=float(before.mean[at]) if before.n[at] else None,
        marginal=float(marginal[at]),
        regret=float(regret[at]),
    )


def _part(n: Floats, total: Floats) -> _Part:
    import numpy as np

    mean = np.clip(total / np.where(n > 0, n, np.nan), 0.0, 1.0)
    return _Part(n, mean)


def _amount(rise: Floats, is_told: NDArray[np.bool_]) -> Floats:
    import numpy as np

    return np.where(is_told, np.maximum(rise, 0.0), 0.0)


def _divergence(p: Floats, q: float) -> Floats:
    """Return by how much coins of the shares `p` diverge from one of `q`, in nats (Kullback and Leibler).

    For any losses in [0, 1] of those means it bounds the chance of so large a difference (Hoeffding 1963).
    """
    import numpy as np
    from scipy.special import rel_entr

    return np.nan_to_num(np.asarray(rel_entr(p, q) + rel_entr(1 - p, 1 - q), np.float64))


def _spread(known: Floats, total: Floats) -> float:
    """Return how many times as much as those of independent coins the means of neighbouring blocks vary.

    A slow trend, or one change, adds little to it.
    """
    import numpy as np

    n, means = known[known > 0], total[known > 0] / known[known > 0]
    mean = total.sum() / known.sum()
    variance = max(mean * (1 - mean), 1 / (known.sum() + 2))
    ratios = np.diff(means) ** 2 / (variance * (1 / n[1:] + 1 / n[:-1]))
    return float((ratios.sum() + _SHRINKAGE) / (len(ratios) + _SHRINKAGE))
