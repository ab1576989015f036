"""Exact sums by group: like `raypipe.stats.exact`, for many groups at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from raypipe.stats.dyadic import Dyadic

_LOW_BITS = 26
_LOW_MASK = (1 << _LOW_BITS) - 1
_EXPONENTS = 1 << 12
"""More than there are exponents of a float64."""


@dataclass(frozen=True)
class Tally:
    """How many values there are, and their exact sum."""

    n: int = 0
    total: Dyadic = field(default_factory=Dyadic)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.n + other.n, self.total + other.total)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.n - other.n, self.total - other.total)

    @property
    def mean(self) -> float:
        """The mean, rounded once; 0 without values."""
        return self.total.over(self.n) if self.n else 0.0


def tallies(values: npt.NDArray[np.float64], groups: npt.NDArray[np.int64], n_groups: int) -> list[Tally]:
    """Return the tally of each group 0, 1, ... of finite values; equal for any order and any split."""
    fractions, powers = np.frexp(values)
    mantissas = (fractions * 2.0**53).astype(np.int64)
    keys = groups * _EXPONENTS + (powers.astype(np.int64) + _EXPONENTS // 2)
    order = np.argsort(keys)
    keys, mantissas = keys[order], mantissas[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))[: len(keys)]
    found = [Tally()] * n_groups
    if not len(starts):
        return found
    counts = np.diff(starts, append=len(keys)).tolist()
    # 27 and 26 bits apart, no sum of up to 2**34 of them passes int64.
    highs = np.add.reduceat(mantissas >> _LOW_BITS, starts).tolist()
    lows = np.add.reduceat(mantissas & _LOW_MASK, starts).tolist()
    for key, n, high, low in zip(keys[starts].tolist(), counts, highs, lows, strict=True):
        group, power = divmod(key, _EXPONENTS)
        total = Dyadic.of((high << _LOW_BITS) + low, power - _EXPONENTS // 2 - 53)
        found[group] = found[group] + Tally(n, total)
    return found
