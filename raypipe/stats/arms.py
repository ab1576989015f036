"""Two arms that rows are given to at random: whether the treated one's losses are higher than the other's.

A row goes to the treated arm with a known probability w, whatever came before it, and has a loss in [0, 1].
Where the treated arm's mean loss is r times the other's, its share of all losses is

    s(r) = w * r / (w * r + 1 - w)

so the rows bet on that share, as likelihood ratios of a weighted coin do: a loss l in the treated arm
multiplies the wealth by 1 + l * (q / s(r) - 1), one in the other arm by 1 + l * ((1 - q) / (1 - s(r)) - 1).
For q > s(r) this is at most 1 on average while the treated mean is at most r times the other, and for
q < s(r) while it is at least r times; so the mean over a grid of q is an e-process of either hypothesis,
however the means drift, and it ever reaches 1 / a with probability at most a. Nothing need be known of how
large losses are. Rows of one key that always goes to one arm are no random rows: count one of each key.

    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> treated = random.random(4_000) < 0.2
    >>> losses = random.random(4_000) < np.where(treated, 0.2, 0.1)
    >>> found = Arms.of(losses, treated, 0.2, tolerance=1.5)
    >>> round(found.log_worse, 1), found.log_fine < 0
    (24.1, True)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import SchemaError

Floats: TypeAlias = npt.NDArray[np.float64]

N_BETS = 16
_ODDS = np.geomspace(1.1, 32.0, N_BETS)
"""By how much the bets expect the odds of the treated arm's share to differ from the hypothesis."""


@dataclass(frozen=True)
class Arms:
    """The log wealth of each bet after some rows under one weight; parts add up, over weights too."""

    tolerance: float
    """How many times the other arm's mean loss is surely too much; above 1."""
    n_treated: int = 0
    n_other: int = 0
    treated_loss: float = 0.0
    """The sum of the treated arm's losses."""
    other_loss: float = 0.0
    worse: tuple[float, ...] = (0.0,) * N_BETS
    """Against: the treated arm's mean loss is at most the other's."""
    fine: tuple[float, ...] = (0.0,) * N_BETS
    """Against: the treated arm's mean loss is `tolerance` times the other's, or more."""

    @classmethod
    def of(
        cls, losses: npt.ArrayLike, treated: npt.NDArray[np.bool_], weight: float, *, tolerance: float
    ) -> Arms:
        """Bet on losses in [0, 1], shape (n,), of rows that went to the treated arm by `weight` in (0, 1)."""
        values = np.asarray(losses, np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"losses must lie in [0, 1]. Got {values.min()} to {values.max()}.")
        return cls(
            tolerance,
            int(treated.sum()),
            int((~treated).sum()),
            float(values[treated].sum()),
            float(values[~treated].sum()),
            _logs(values, treated, weight, _ODDS),
            _logs(values, treated, share_of(weight, tolerance), 1 / _ODDS),
        )

    def __add__(self, other: Arms) -> Arms:
        """Return the bets on the rows of both; raises SchemaError for bets against another tolerance."""
        if self.tolerance != other.tolerance:
            raise SchemaError(
                f"Arms to add must have one tolerance. Got {self.tolerance} and {other.tolerance}."
            )
        return Arms(
            self.tolerance,
            self.n_treated + other.n_treated,
            self.n_other + other.n_other,
            self.treated_loss + other.treated_loss,
            self.other_loss + other.other_loss,
            tuple(a + b for a, b in zip(self.worse, other.worse, strict=True)),
            tuple(a + b for a, b in zip(self.fine, other.fine, strict=True)),
        )

    @property
    def log_worse(self) -> float:
        """The log of the evidence that the treated arm's losses are higher."""
        return _log_mean(self.worse)

    @property
    def log_fine(self) -> float:
        """The log of the evidence that they are less than `tolerance` times the other's."""
        return _log_mean(self.fine)


def share_of(weight: float, ratio: float) -> float:
    """Return the treated arm's share of all losses where its mean loss is `ratio` times the other's."""
    return weight * ratio / (weight * ratio + 1 - weight)


def losses_to_tell(weight: float, true: float, against: float, *, alpha: float, miss: float) -> float:
    """Return about how many losses in both arms tell a ratio `true` of mean losses from `against`.

    After so many the evidence has reached 1 / alpha but with a probability of about `miss`. Its log grows by
    the divergence of two coins for each loss of 0 or 1 (and no slower for losses between), spread as the log
    of their ratio is; to find the right bet in the grid costs the log of the grid's size at most.
    """
    from scipy.special import ndtri

    p, q = share_of(weight, true), share_of(weight, against)
    growth = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    spread = math.sqrt(p * (1 - p)) * abs(math.log(p * (1 - q) / ((1 - p) * q)))
    bound, z = math.log(N_BETS / alpha), -float(ndtri(miss))
    root = (z * spread + math.sqrt((z * spread) ** 2 + 4 * growth * bound)) / (2 * growth)
    return root**2


def _logs(values: Floats, treated: npt.NDArray[np.bool_], share: float, odds: Floats) -> tuple[float, ...]:
    raised = share / (1 - share) * odds
    bet = raised / (1 + raised)
    found = np.zeros(len(odds))
    for arm, gains in ((treated, bet / share - 1), (~treated, (1 - bet) / (1 - share) - 1)):
        distinct, counts = np.unique(values[arm], return_counts=True)
        found += counts @ np.log1p(np.outer(distinct, gains))
    return tuple(found.tolist())


def _log_mean(logs: tuple[float, ...]) -> float:
    return float(np.logaddexp.reduce(logs)) - math.log(len(logs))
