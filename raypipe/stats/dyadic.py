"""Numbers that are an integer times a power of two: sums and products without rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json


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
