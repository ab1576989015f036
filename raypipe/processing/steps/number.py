"""Numbers: filled, clipped, transformed and scaled, or cut into bins; one arithmetic for tables and rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import EllipsisType
from typing import TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from raypipe.data.schema import Column
from raypipe.processing.elementary import NumberTransform, signed_log, signed_power, yeo_johnson
from raypipe.processing.steps.lookup import MISSING, Float32Matrix

Floats: TypeAlias = npt.NDArray[np.float64]
Where: TypeAlias = "tuple[slice, npt.NDArray[np.intp]] | EllipsisType"
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class FittedNumber:
    """A number becomes `(transform(x) - centre) * reciprocal`, cut to what float32 holds.

    Null and NaN count as `fill`; negative infinity as `low`, the smallest finite training value, and
    positive infinity as `high`, the largest. With `clip` all values beyond the two become them. The
    reciprocal is stored because dividing and multiplying by it differ in the last bit, and libraries swap
    one for the other.
    """

    column: Column
    fill: float
    low: float
    high: float
    centre: float
    reciprocal: float
    indicator: bool
    """Whether a second feature says 1 where the value was missing."""
    clip: bool = False
    transform: NumberTransform = "none"
    exponent: float = 1.0
    """Of `power`, or the lambda of `yeo_johnson`."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return (self.column,)

    @property
    def feature_names(self) -> tuple[str, ...]:
        name = self.column.name
        return (name, f"{name}__missing") if self.indicator else (name,)

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """What turns an array of this column's values into its feature."""
        return Arithmetic(
            self.fill,
            self.low,
            self.high,
            self.centre,
            self.reciprocal,
            clip=(..., self.low, self.high) if self.clip else None,
            transforms=((self.transform, ..., self.exponent),) if self.transform != "none" else (),
        )


@dataclass(frozen=True)
class Arithmetic:
    """The constants of one column, or of several side by side, each then an array of one number a column.

    `clip` and `transforms` say first for which columns they are: `...` for the one there is.
    """

    fill: float | Floats
    low: float | Floats
    high: float | Floats
    centre: float | Floats
    reciprocal: float | Floats
    clip: tuple[Where, float | Floats, float | Floats] | None = None
    transforms: tuple[tuple[NumberTransform, Where, float | Floats], ...] = ()

    @classmethod
    def side_by_side(cls, steps: list[FittedNumber]) -> Arithmetic:
        """Return the arithmetic of several columns of one array."""
        clipped = [i for i, step in enumerate(steps) if step.clip]
        low, high = (np.array([getattr(step, end) for step in steps]) for end in ("low", "high"))
        used = sorted({step.transform for step in steps} - {"none"})
        places = {kind: [i for i, step in enumerate(steps) if step.transform == kind] for kind in used}
        return cls(
            np.array([step.fill for step in steps]),
            low,
            high,
            np.array([step.centre for step in steps]),
            np.array([step.reciprocal for step in steps]),
            clip=(_columns(clipped), low[clipped], high[clipped]) if clipped else None,
            transforms=tuple(
                (kind, _columns(where), np.array([steps[i].exponent for i in where]))
                for kind, where in places.items()
            ),
        )

    def __call__(self, values: Floats) -> Float32Matrix:
        """Return the features of values, of which NaN are missing."""
        if self.clip is not None:
            values = _clipped(values, *self.clip)
        try:
            with np.errstate(over="raise"):
                return self.numbers(values).astype(np.float32)
        except FloatingPointError:
            with np.errstate(over="ignore"):
                return _cut(self.numbers(values)).astype(np.float32)

    def numbers(self, values: Floats) -> Floats:
        """Return the features as float64, not cut to float32's range."""
        if self.transforms:
            made = self._scaled(np.where(np.isfinite(values), values, 0.0))
            gaps = np.nonzero(~np.isfinite(values))
        else:
            made = self._scaled(values)
            finite = np.isfinite(made)
            if finite.all():
                return made
            gaps = np.nonzero(~finite)
        fill, low, high = (_at(numbers, gaps) for numbers in self._instead)
        given = values[gaps]
        infinite = np.where(given == math.inf, high, np.where(given == -math.inf, low, made[gaps]))
        made[gaps] = np.where(np.isnan(given), fill, infinite)
        return made

    def _scaled(self, values: Floats) -> Floats:
        for kind, where, exponent in self.transforms:
            values = _replaced(values, where, transformed(values[where], kind, exponent))
        return (values - self.centre) * self.reciprocal

    @cached_property
    def _instead(self) -> tuple[Floats, Floats, Floats]:
        """What a missing value, negative and positive infinity become."""
        with np.errstate(over="ignore"):
            fill, low, high = (
                _cut(self._scaled(np.atleast_1d(np.asarray(number, np.float64))[None, :]))[0]
                for number in (self.fill, self.low, self.high)
            )
        return fill, low, high


def transformed(values: Floats, kind: NumberTransform, exponent: float | Floats) -> Floats:
    """Return finite values after a transform."""
    match kind:
        case "none":
            return values
        case "log":
            return signed_log(values)
        case "power":
            return signed_power(values, exponent)
        case "yeo_johnson":
            return yeo_johnson(values, exponent)
        case _:
            assert_never(kind)


def _columns(places: list[int]) -> Where:
    return slice(None), np.array(places, np.intp)


def _clipped(values: Floats, where: Where, low: float | Floats, high: float | Floats) -> Floats:
    # Which of -0.0 and 0.0 is the larger depends on the processor: adding 0.0 leaves only one of them.
    cut = np.minimum(np.maximum(values[where] + 0.0, low), high)
    return _replaced(values, where, cut)


def _cut(values: Floats) -> Floats:
    return np.minimum(np.maximum(values, -FLOAT32_MAX), FLOAT32_MAX)


def _at(numbers: Floats, places: tuple[npt.NDArray[np.intp], ...]) -> Floats:
    """Return for each place in an array the number of its column."""
    return numbers[places[-1]] if len(numbers) > 1 else numbers


def _replaced(values: Floats, where: Where, by: Floats) -> Floats:
    if where is ...:
        return by
    changed = values.copy()
    changed[where] = by
    return changed


@dataclass(frozen=True)
class FittedBins:
    """A number becomes the range that it lies in: a 1 in the range's feature, or the range's place.

    The i-th range goes up to and including `edges[i]`, the last one has no end. Infinities lie in the
    ranges at the ends.
    """

    column: Column
    edges: tuple[float, ...]
    """In increasing order."""
    ordinal: bool
    """Whether there is one feature with the place of the range, from 1/n to 1, and not one for each."""
    missing: bool
    """Whether a feature says 1 where the value was missing."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return (self.column,)

    @property
    def n_bins(self) -> int:
        return len(self.edges) + 1

    @property
    def missing_code(self) -> int:
        return self.n_bins

    @property
    def feature_names(self) -> tuple[str, ...]:
        name = self.column.name
        bounds = ["", *(f"{edge:g}" for edge in self.edges), ""]
        ranges = [f"{name}={low}..{high}" for low, high in pairwise(bounds)]
        return (*([f"{name}__bin"] if self.ordinal else ranges), *[f"{name}={MISSING}"] * self.missing)

    @cached_property
    def table(self) -> Float32Matrix:
        """The features of each bin, then of a missing value."""
        table = np.zeros((self.n_bins + 1, len(self.feature_names)), np.float32)
        if self.ordinal:
            table[: self.n_bins, 0] = [(i + 1) / self.n_bins for i in range(self.n_bins)]
        else:
            table[range(self.n_bins), range(self.n_bins)] = 1
        if self.missing:
            table[-1, -1] = 1
        return table

    def codes(self, values: Floats) -> npt.NDArray[np.intp]:
        """Return the bin of each value, or the code of a missing one."""
        found = np.searchsorted(np.array(self.edges), values, side="left")
        return np.where(np.isnan(values), self.missing_code, found)
