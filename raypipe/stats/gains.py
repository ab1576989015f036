"""A sequential test of how much better one predictor is than another, in the metric's own unit.

Rows that come one after the other are put into blocks, as long as neighbours depend on each other, and the
gain of each block is bet on: that of `auc` is computed within the block (pairs of its rows are unbiased for
the area), the others are means over its rows. For `rmse` and `r2` a row's gain is a difference of squared
errors in the unit that makes it the gain of the score, as near as a line is to a root. While the gain of a
block, given all before, is on average at most the margin, the wealth ever reaches 1 / a with probability at
most a (`raypipe.stats.bets`), however often one looks.

Bets need bounded gains: they are clipped at `bound` to either side of the margin, which rows of before tell.
What is fixed is fixed before the first row of the sequence.

    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> y = (random.random(2_400) < 0.5).astype(int)
    >>> def answers(skill):
    ...     p = 1 / (1 + np.exp(-random.normal(skill * (2 * y - 1))))
    ...     return np.stack([1 - p, p], axis=1)
    >>> old, new = answers(0.4), answers(0.9)
    >>> scale = Scale.of("auc", y[:400], old[:400], new[:400], margin=0.0)
    >>> found = Gains.of("auc", y[400:], old[400:], new[400:], scale, margin=0.0)
    >>> found.n_rows, found.is_above, found.is_below
    (1992, True, False)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from raypipe.stats.bets import Bets
from raypipe.stats.bootstrap import block_length_for
from raypipe.stats.metrics import METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]

ALPHA = 0.025
"""The probability that a sequence of looks ever shows a gain that is not there, or misses one that is."""
MIN_AUC_ROWS = 12
"""Rows of a block for `auc`: few rows make few pairs."""
MIN_BLOCKS = 4
"""Blocks that must tell how far gains spread."""
_BOUND = 2.5
"""How many times their root mean square around the margin the bound is."""


@dataclass(frozen=True)
class Scale:
    """What is fixed before a sequence begins."""

    block_rows: int
    bound: float
    """Gains of a block count up to this far from the margin."""
    unit: float = 1.0
    """The gain of the score for each unit of a row's loss."""

    @classmethod
    def of(
        cls,
        metric: str,
        y: Target,
        old: Floats,
        new: Floats,
        *,
        margin: float,
        block_rows: int | None = None,
    ) -> Scale | None:
        """Return what earlier rows tell; None where they are too few, or both answered alike.

        `block_rows` is how far these rows depend on each other; at least ceil(n^(1/3)).
        """
        rows = max(block_rows or 0, block_length_for(len(y)), MIN_AUC_ROWS if metric == "auc" else 1)
        unit = _unit(metric, y, old, new)
        seen = np.array([gain for _, gain in _blocks(metric, y, old, new, rows, unit)])
        if len(seen) < MIN_BLOCKS or not np.any(seen):
            return None
        bound = _BOUND * float(np.sqrt(np.mean((seen - margin) ** 2)))
        return cls(rows, bound, unit) if np.isfinite(bound) and bound > 0 else None


@dataclass(frozen=True)
class Gains:
    """The bets on whole blocks of rows so far; what a block lacks waits for more rows."""

    better: Bets
    """Against: the gain is at most the margin."""
    worse: Bets
    """Against: the gain is at least the margin."""
    n_rows: int = 0
    """Rows of whole blocks."""

    @classmethod
    def of(cls, metric: str, y: Target, old: Floats, new: Floats, scale: Scale, *, margin: float) -> Gains:
        """Bet on rows in the order in which they came: targets (n,), and both predictors' finite answers."""
        found = list(_blocks(metric, y, old, new, scale.block_rows, scale.unit))
        beyond = np.array([gain for _, gain in found]) - margin
        share = np.clip(beyond, -scale.bound, scale.bound) / scale.bound
        n_rows = found[-1][0] if found else 0
        return cls(Bets.of((1 + share) / 2, 0.5), Bets.of((1 - share) / 2, 0.5), n_rows)

    def __add__(self, other: Gains) -> Gains:
        """Return the bets on whole blocks of these rows and of those that follow after `n_rows`."""
        return Gains(self.better + other.better, self.worse + other.worse, self.n_rows + other.n_rows)

    @property
    def is_above(self) -> bool:
        """Whether the gain is surely above the margin."""
        return self.better.log_mean >= math.log(1 / ALPHA)

    @property
    def is_below(self) -> bool:
        """Whether it is surely below the margin."""
        return self.worse.log_mean >= math.log(1 / ALPHA)


def _blocks(
    metric: str, y: Target, old: Floats, new: Floats, block_rows: int, unit: float
) -> Iterator[tuple[int, float]]:
    """Yield where each whole block ends, and its gain; one grows until its gain is defined."""
    start, end = 0, block_rows
    while end <= len(y):
        gain = _gain(metric, y[start:end], old[start:end], new[start:end], unit)
        if np.isfinite(gain):
            yield end, gain
            start, end = end, end + block_rows
        else:
            end += 1


def _gain(metric: str, y: Target, old: Floats, new: Floats, unit: float) -> float:
    if metric in ("rmse", "r2"):
        return unit * float(np.mean((old - y) ** 2 - (new - y) ** 2))
    score = METRICS[metric]
    return score.gain(score(y, new), score(y, old))


def _unit(metric: str, y: Target, old: Floats, new: Floats) -> float:
    """Return the gain of the score for each unit that the mean squared error falls by."""
    if metric == "rmse":
        both = sum(METRICS["rmse"](y, one) for one in (old, new))
        return 1 / both if both > 0 else 1.0
    if metric == "r2":
        spread = float(np.var(y))
        return 1 / spread if spread > 0 else 1.0
    return 1.0
