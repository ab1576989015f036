"""Step functions; the increasing one closest to a relation, by pooling neighbours that are out of order.

Pool adjacent violators (Ayer, Brunk, Ewing, Reid, Silverman, Ann. Math. Stat. 1955). As a calibration of
scores: Zadrozny and Elkan, KDD 2002.

    >>> import numpy as np
    >>> steps = Steps.increasing(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    >>> steps(np.array([0.0, 2.0, 3.9, 4.0])).tolist()
    [0.0, 0.5, 0.5, 1.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Steps:
    """A step function: the value of the last `start` that an argument reaches, of the first one below all."""

    starts: tuple[float, ...]
    values: tuple[float, ...]

    @classmethod
    def increasing(cls, x: Floats, y: Floats) -> Steps:
        """Fit `y` by an increasing function of `x`, least squares; at least one row, all finite."""
        distinct, group, n_each = np.unique(x, return_inverse=True, return_counts=True)
        means = np.bincount(group, weights=y) / n_each
        starts: list[float] = []
        values: list[float] = []
        weights: list[float] = []
        for start, value, weight in zip(distinct.tolist(), means.tolist(), n_each.tolist(), strict=True):
            first, mean, n = start, value, weight
            while values and values[-1] >= mean:
                mean = (values[-1] * weights[-1] + mean * n) / (weights[-1] + n)
                n += weights.pop()
                first = starts.pop()
                values.pop()
            starts.append(first)
            values.append(mean)
            weights.append(n)
        return cls(tuple(starts), tuple(values))

    def __call__(self, x: Floats) -> Floats:
        """Return the values at `x`, shape (n,)."""
        at = np.searchsorted(self.starts, x, side="right") - 1
        return np.asarray(self.values, np.float64)[np.maximum(at, 0)]

    def to_json(self) -> Json:
        return {"starts": list(self.starts), "values": list(self.values)}

    @classmethod
    def from_json(cls, value: Json) -> Steps:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"starts": [*starts], "values": [*values]} if len(starts) == len(values) > 0:
                return cls(_floats(starts), _floats(values))
            case _:
                raise SchemaError(f"A step function must have starts and as many values. Got {value!r:.200}.")


def _floats(values: list[Json]) -> tuple[float, ...]:
    found = tuple(float(one) for one in values if isinstance(one, int | float))
    if len(found) != len(values):
        raise SchemaError(f"Starts and values must be numbers. Got {values!r:.200}.")
    return found
