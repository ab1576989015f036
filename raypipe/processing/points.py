"""The training values of a column as a few thousand points with weights: what a fit reads off a sketch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.stats.histogram import NEXT_TO_ZERO, QuantileSketch

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Finite values in increasing order, and the share of all values that each stands for.

    Up to 4,096 distinct values are these points; of more, each point is the middle of a range about 1% wide.
    """

    values: Floats
    shares: Floats

    @classmethod
    def of(cls, sketch: QuantileSketch) -> Points:
        """Return the points of a sketch that has values."""
        low, high, counts = sketch.ranges()
        middle = np.where(low == high, low, low * 0.5 + high * 0.5)
        return cls(np.where((low == 0.0) & (high < NEXT_TO_ZERO), 0.0, middle), counts / counts.sum())

    def after(self, function: Callable[[Floats], Floats]) -> Points:
        """Return the points after a function that does not decrease."""
        return Points(function(self.values), self.shares)

    @property
    def fullest(self) -> float:
        """The point that stands for most values, the smallest of equals."""
        return float(self.values[np.argmax(self.shares)])

    @property
    def mean(self) -> float:
        return self.total(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation; infinite where the squares pass float64."""
        with np.errstate(over="ignore"):
            return math.sqrt(self.total((self.values - self.mean) ** 2))

    def total(self, values: Floats) -> float:
        """Return the mean of one number a point, rounded once: the same on any processor."""
        with np.errstate(over="ignore"):
            parts = (values * self.shares).tolist()
        try:
            return math.fsum(parts)
        except OverflowError:
            return math.inf


@dataclass(frozen=True)
class ClipBounds:
    """Where a column is clipped, and how many training values lie beyond."""

    low: float
    high: float
    n_clipped: int


def clip_bounds(sketch: QuantileSketch, low: float, high: float) -> ClipBounds:
    """Return the ends of the ranges that hold two quantiles, so that what lies beyond is counted exactly."""
    starts, ends, counts = sketch.ranges()
    up_to = np.cumsum(counts)
    ranks = (min(max(math.ceil(q * up_to[-1]), 1), up_to[-1]) for q in (low, high))
    first, last = (int(np.searchsorted(up_to, rank)) for rank in ranks)
    n_kept = up_to[last] - (up_to[first] - counts[first])
    # Adding 0.0 makes -0.0 the one zero that clipping knows.
    return ClipBounds(float(starts[first]) + 0.0, float(ends[last]) + 0.0, int(up_to[-1] - n_kept))
