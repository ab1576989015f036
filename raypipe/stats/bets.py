"""Bets that a bounded loss is above what it was: evidence of harm, for all time and since a change.

For a loss in [0, 1] whose mean, given all before, is at most p, each factor 1 + b * (loss - p) with
0 <= b < 1 / p is at most 1 on average. So the product over rows is an e-process, for every bet b, and so is
the mean over a fixed grid of bets ("Estimating means of bounded random variables by betting", Waudby-Smith
and Ramdas, J. R. Stat. Soc. B 2024; as a test of harm: Podkopaev and Ramdas, ICLR 2022). The logs of the
products add up over rows, windows and replicas. For losses of 0 and 1 a bet is a likelihood ratio.

The wealth since the first row ever reaches 1 / a with probability at most a while there is no harm; how it
stays quick after a long healthy time is told in `raypipe.stats.starts`.

    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> healthy, harmed = (Bets.of(random.random(2_000) < p, 0.1) for p in (0.1, 0.2))
    >>> healthy.log_mean < 3.0 < harmed.log_mean
    True
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from operator import add
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json

Floats: TypeAlias = npt.NDArray[np.float64]

N_BETS = 20
_ODDS = (1.05, 64.0)
"""By how much the smallest and the largest bet expect the odds of a loss to have grown."""


@lru_cache(maxsize=256)
def bets(p: float) -> Floats:
    """Return the grid of bets against a mean of at most `p`, each above 0 and below 1 / p."""
    if not 0 < p < 1:
        raise ValueError(f"the mean that is not harm must lie between 0 and 1. Got {p}.")
    odds = p / (1 - p) * np.geomspace(*_ODDS, N_BETS)
    expected = odds / (1 + odds)
    found = np.asarray((expected - p) / (p * (1 - p)), np.float64)
    found.setflags(write=False)
    return found


@dataclass(frozen=True)
class Bets:
    """The log wealth of each bet against a mean of at most `p`, after `n` rows; parts add up."""

    p: float
    n: int
    total: float
    """The sum of the losses."""
    log_wealth: tuple[float, ...]

    @classmethod
    def none(cls, p: float) -> Bets:
        """Return the bets before the first row."""
        return cls(p, 0, 0.0, (0.0,) * len(bets(p)))

    @classmethod
    def of(cls, losses: npt.ArrayLike, p: float) -> Bets:
        """Bet on losses, shape (n,), each in [0, 1]; raises ValueError for another one, also for NaN."""
        values = np.asarray(losses, np.float64)
        if not len(values):
            return cls.none(p)
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"losses must lie in [0, 1]. Got {values.min()} to {values.max()}.")
        distinct, counts = np.unique(values, return_counts=True)
        logs = counts @ np.log1p(np.outer(distinct - p, bets(p)))
        return cls(p, len(values), float(values.sum()), tuple(logs.tolist()))

    def __add__(self, other: Bets) -> Bets:
        """Return the bets on the rows of both; raises SchemaError for bets against another mean."""
        if self.p != other.p:
            raise SchemaError(f"Bets to add must be against one mean. Got {self.p} and {other.p}.")
        logs = tuple(map(add, self.log_wealth, other.log_wealth))
        return Bets(self.p, self.n + other.n, self.total + other.total, logs)

    def __sub__(self, other: Bets) -> Bets:
        """Return the bets without rows that were counted; raises SchemaError for another mean."""
        logs = tuple(-one for one in other.log_wealth)
        return self + Bets(other.p, -other.n, -other.total, logs)

    @property
    def mean(self) -> float | None:
        return self.total / self.n if self.n else None

    @property
    def log_mean(self) -> float:
        """The log of the e-process: of the mean wealth of all bets."""
        return float(np.logaddexp.reduce(self.log_wealth)) - math.log(len(self.log_wealth))

    def to_json(self) -> dict[str, Json]:
        return {"p": self.p, "n": self.n, "total": self.total, "log_wealth": list(self.log_wealth)}

    @classmethod
    def from_json(cls, value: Json) -> Bets:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"p": float(p), "n": int(n), "total": float(total), "log_wealth": [*logs]}:
                return cls(p, n, total, _numbers(logs, "A bet's log wealth"))
            case _:
                raise SchemaError(f"Bets must have p, n, total, log_wealth. Got {value!r:.200}.")


def _numbers(values: list[Json], name: str) -> tuple[float, ...]:
    """Return JSON numbers as floats; raises SchemaError, with the name, for anything else."""
    found = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SchemaError(f"{name} must be a number. Got {value!r:.100}.")
        found.append(float(value))
    return tuple(found)
