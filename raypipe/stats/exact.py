"""Sums without rounding, so that no split of the values and no order of merging changes a bit.

Every finite float64 is an integer times a power of two. Sums of such numbers are kept as one exact integer
times a power of two (Python's integers have no size limit), and rounded once, when a mean or a variance is
asked for. The idea is the long accumulator of Kulisch (Advanced Arithmetic for the Digital Computer, 2002).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.stats.dyadic import Dyadic
from raypipe.stats.power_sums import power_sums


@dataclass(frozen=True)
class ExactMoments:
    """How many values there are, and the exact sums of the finite ones and of their squares.

    NaN and infinities are counted apart and never summed. Equal for any split into blocks and any order.

    >>> a, b = ExactMoments.of(np.array([1e16, 1.0])), ExactMoments.of(np.array([-1e16]))
    >>> a.merge(b).mean == b.merge(a).mean == 1 / 3
    True
    """

    n: int = 0
    """Finite values."""
    n_nan: int = 0
    n_positive_infinite: int = 0
    n_negative_infinite: int = 0
    total: Dyadic = field(default_factory=Dyadic)
    total_of_squares: Dyadic = field(default_factory=Dyadic)
    min: float | None = None
    """The smallest finite value; none without values."""
    max: float | None = None

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> ExactMoments:
        """Count and add up values."""
        n_nan = n_positive = n_negative = 0
        if len(values) and not (np.isfinite(values.min()) and np.isfinite(values.max())):
            n_nan, n_positive = int(np.isnan(values).sum()), int(np.isposinf(values).sum())
            n_negative = int(np.isneginf(values).sum())
            values = values[np.isfinite(values)]
        if not len(values):
            return cls(0, n_nan, n_positive, n_negative)
        # Adding 0.0 turns -0.0 into 0.0, which is the same number.
        low, high = float(values.min()) + 0.0, float(values.max()) + 0.0
        return cls(len(values), n_nan, n_positive, n_negative, *power_sums(values), low, high)

    @property
    def n_infinite(self) -> int:
        return self.n_positive_infinite + self.n_negative_infinite

    @property
    def sum(self) -> float:
        """The sum of the finite values, rounded once."""
        return self.total.over(1)

    @property
    def mean(self) -> float | None:
        """The mean of the finite values, rounded once; none without values."""
        return self.total.over(self.n) if self.n else None

    @property
    def variance(self) -> float | None:
        """The mean squared distance from the mean (divided by n), rounded once; none without values."""
        if not self.n:
            return None
        n = Dyadic.of(self.n, 0)
        return (n * self.total_of_squares - self.total * self.total).over(self.n * self.n)

    def merge(self, other: ExactMoments) -> ExactMoments:
        """Return the moments of both sets of values together."""
        return ExactMoments(
            self.n + other.n,
            self.n_nan + other.n_nan,
            self.n_positive_infinite + other.n_positive_infinite,
            self.n_negative_infinite + other.n_negative_infinite,
            self.total + other.total,
            self.total_of_squares + other.total_of_squares,
            min((end for end in (self.min, other.min) if end is not None), default=None),
            max((end for end in (self.max, other.max) if end is not None), default=None),
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "n": self.n,
            "n_nan": self.n_nan,
            "n_positive_infinite": self.n_positive_infinite,
            "n_negative_infinite": self.n_negative_infinite,
            "sum": self.total.to_json(),
            "sum_of_squares": self.total_of_squares.to_json(),
            "min": self.min,
            "max": self.max,
        }

    @classmethod
    def from_json(cls, value: Json) -> ExactMoments:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {
                "n": int(n),
                "n_nan": int(n_nan),
                "n_positive_infinite": int(n_positive),
                "n_negative_infinite": int(n_negative),
                "sum": total,
                "sum_of_squares": squares,
                "min": float() | int() | None as low,
                "max": float() | int() | None as high,
            }:
                exact = Dyadic.from_json(total), Dyadic.from_json(squares)
                ends = (None if end is None else float(end) for end in (low, high))
                return cls(n, n_nan, n_positive, n_negative, *exact, *ends)
            case _:
                raise SchemaError(f"Moments must have counts and two exact sums. Got {value!r}.")
