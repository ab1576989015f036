"""A value with the ends of its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from raypipe.core.ids import Json


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95% interval; NaN where the rows do not define it."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero: the difference is real."""
        return self.low > 0 or self.high < 0

    def to_json(self) -> Json:
        return [value if math.isfinite(value) else None for value in (self.value, self.low, self.high)]

    @staticmethod
    def from_json(value: Json) -> Interval:
        if not isinstance(value, list) or len(value) != 3:
            raise ValueError(f"an interval is a list of three numbers. Got {value!r}")
        return Interval(*(math.nan if part is None else float(part) for part in value))
