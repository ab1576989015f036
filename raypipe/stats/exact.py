"""Sums without rounding, so that no split of the values and no order of merging changes a bit.

Every finite float64 is an integer times a power of two. Sums of such numbers are kept as one exact integer
times a power of two (Python's integers have no size limit), and rounded once, when a mean or a variance is
asked for. The idea is the long accumulator of Kulisch (Advanced Arithmetic for the Digital Computer, 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json

_LOW_BITS = 26
_LOW_MASK = (1 << _LOW_BITS) - 1
_MANY_RUNS = 4096


@dataclass(frozen=True)
class Dyadic:
    """The exact number `mantissa * 2**exponent`; the mantissa is odd, or both are 0."""

    mantissa: int = 0
    exponent: int = 0

    @classmethod
    def of(cls, mantissa: int, exponent: int) -> Dyadic:
        """Return the one spelling of `mantissa * 2**exponent`."""
        if mantissa == 0:
            return cls()
        zeros = (mantissa & -mantissa).bit_length() - 1
        return cls(mantissa >> zeros, exponent + zeros)

    def __add__(self, other: Dyadic) -> Dyadic:
        exponent = min(self.exponent, other.exponent)
        return Dyadic.of(self._scaled_to(exponent) + other._scaled_to(exponent), exponent)

    def __sub__(self, other: Dyadic) -> Dyadic:
        return self + Dyadic(-other.mantissa, other.exponent)

    def __mul__(self, other: Dyadic) -> Dyadic:
        return Dyadic.of(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def over(self, divisor: int) -> float:
        """Return the quotient by a positive integer, correctly rounded; too large a one becomes infinite."""
        try:
            if self.exponent >= 0:
                return (self.mantissa << self.exponent) / divisor
            return self.mantissa / (divisor << -self.exponent)
        except OverflowError:
            return math.inf if self.mantissa > 0 else -math.inf

    def _scaled_to(self, exponent: int) -> int:
        return self.mantissa << (self.exponent - exponent)

    def to_json(self) -> list[Json]:
        return [hex(self.mantissa), self.exponent]

    @classmethod
    def from_json(cls, value: Json) -> Dyadic:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case [str(mantissa), int(exponent)]:
                return cls.of(int(mantissa, 16), exponent)
            case _:
                raise SchemaError(f"An exact sum must be [hexadecimal mantissa, exponent]. Got {value!r}.")


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
    total: Dyadic = Dyadic()
    total_of_squares: Dyadic = Dyadic()

    @classmethod
    def of(cls, values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64] | None = None) -> ExactMoments:
        """Add up `values`, the i-th one `counts[i]` times (once where not given); at most 2**34 a call."""
        if counts is None:
            counts = np.ones(len(values), np.int64)
        finite = np.isfinite(values)
        weights = {
            "n_nan": int(counts[np.isnan(values)].sum()),
            "n_positive_infinite": int(counts[np.isposinf(values)].sum()),
            "n_negative_infinite": int(counts[np.isneginf(values)].sum()),
        }
        if not finite.all():
            values, counts = values[finite], counts[finite]
        total, squares = _sums(values, counts)
        return cls(n=int(counts.sum()), total=total, total_of_squares=squares, **weights)

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
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "n": self.n,
            "n_nan": self.n_nan,
            "n_positive_infinite": self.n_positive_infinite,
            "n_negative_infinite": self.n_negative_infinite,
            "sum": self.total.to_json(),
            "sum_of_squares": self.total_of_squares.to_json(),
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
            }:
                exact = Dyadic.from_json(total), Dyadic.from_json(squares)
                return cls(n, n_nan, n_positive, n_negative, *exact)
            case _:
                raise SchemaError(f"Moments must have counts and two exact sums. Got {value!r}.")


def _sums(values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> tuple[Dyadic, Dyadic]:
    """Return the exact sum of finite values and of their squares.

    The integers of equal exponent are added in int64. The 53 bits of a mantissa are cut into 27 and 26,
    products of two such parts again, so that no part times its count passes 2**62.
    """
    mantissas, exponents, counts = _decomposed(values, counts)
    starts = _run_starts(exponents)
    high, low = mantissas >> _LOW_BITS, mantissas & _LOW_MASK
    total = _add_up(high, low, starts, counts, _LOW_BITS)
    products = ((high * high, 2 * _LOW_BITS), (high * low, _LOW_BITS + 1), (low * low, 0))
    squares = [0] * len(starts)
    for product, shift in products:
        part = _add_up(product >> _LOW_BITS, product & _LOW_MASK, starts, counts, _LOW_BITS)
        squares = [square + (sum_ << shift) for square, sum_ in zip(squares, part, strict=True)]
    scales = [int(exponent) for exponent in exponents[starts]]
    return _gathered(total, scales), _gathered(squares, [2 * scale for scale in scales])


def _decomposed(
    values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int16], npt.NDArray[np.int64]]:
    """Return integers m and e with value = m * 2**e, equal exponents side by side (or nearly)."""
    fractions, powers = np.frexp(values)
    mantissas = (fractions * 2.0**53).astype(np.int64)
    exponents = (powers - 53).astype(np.int16)
    if len(_run_starts(exponents)) > _MANY_RUNS:
        order = np.argsort(exponents, kind="stable")
        return mantissas[order], exponents[order], counts[order]
    return mantissas, exponents, counts


def _run_starts(exponents: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    changes = np.flatnonzero(exponents[1:] != exponents[:-1]) + 1
    return np.concatenate(([0], changes))[: len(exponents)].astype(np.int64)


def _add_up(
    high: npt.NDArray[np.int64],
    low: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    shift: int,
) -> list[int]:
    """Return, run by run, the sum of `(high * 2**shift + low) * counts`."""
    if not len(starts):
        return []
    highs = np.add.reduceat(high * counts, starts)
    lows = np.add.reduceat(low * counts, starts)
    return [(int(a) << shift) + int(b) for a, b in zip(highs, lows, strict=True)]


def _gathered(parts: list[int], exponents: list[int]) -> Dyadic:
    """Return the exact sum of `parts[i] * 2**exponents[i]`."""
    lowest = min(exponents, default=0)
    scaled = (part << (exponent - lowest) for part, exponent in zip(parts, exponents, strict=True))
    return Dyadic.of(sum(scaled), lowest)
