"""What labels the values of a category have, fold by fold: mergeable, and exact for any split into blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from operator import add
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import ConfigError
from raypipe.stats.exact import ExactMoments
from raypipe.stats.grouped import Tally, tallies

if TYPE_CHECKING:
    import polars as pl

MAX_CLASSES = 32
_FLOAT32_MAX = float(np.finfo(np.float32).max)

Tallies = tuple[Tally, ...]
"""One tally a fold."""


@dataclass(frozen=True)
class Target:
    """The labels of some rows: codes of classes, or numbers where there are no classes."""

    values: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    classes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What means are taken of: each of many classes; '' for the second of two, and for numbers."""
        if len(self.classes) > MAX_CLASSES:
            raise ConfigError(
                f"encode target needs a label of at most {MAX_CLASSES} classes, each being a feature. "
                f"Got {len(self.classes)}; encode by hash, ordinal or onehot."
            )
        return self.classes if len(self.classes) > 2 else ("",)

    def amounts(self) -> list[npt.NDArray[np.float64]]:
        """Return for each name one number a row: the label, or 1 where it is that class."""
        if not self.classes:
            return [self.values.astype(np.float64)]
        chosen = range(len(self.classes)) if len(self.classes) > 2 else (1,)
        return [(self.values == code).astype(np.float64) for code in chosen]


@dataclass(frozen=True)
class TargetSums:
    """For each target: the labels of all rows, fold by fold, and those of each value of a category."""

    names: tuple[str, ...]
    moments: tuple[tuple[ExactMoments, ...], ...]
    """Target by target, fold by fold."""
    values: Mapping[str | None, tuple[Tallies, ...]]
    """For each value, none for a missing one: target by target, fold by fold."""

    @classmethod
    def of(cls, texts: pl.Series, target: Target, folds: npt.NDArray[np.int64], n_folds: int) -> TargetSums:
        """Add up the labels of rows by the value and the fold of each."""
        distinct, codes = _coded(texts)
        groups = codes * n_folds + folds
        amounts = target.amounts()
        found = [tallies(one, groups, len(distinct) * n_folds) for one in amounts]
        return cls(
            target.names,
            tuple(tuple(ExactMoments.of(one[folds == fold]) for fold in range(n_folds)) for one in amounts),
            {
                value: tuple(tuple(one[i * n_folds : (i + 1) * n_folds]) for one in found)
                for i, value in enumerate(distinct)
            },
        )

    def merge(self, other: TargetSums) -> TargetSums:
        """Return the sums of both sets of rows together."""
        values = dict(self.values)
        for value, found in other.values.items():
            known = values.get(value)
            values[value] = found if known is None else _added(known, found)
        moments = tuple(
            tuple(a.merge(b) for a, b in zip(mine, theirs, strict=True))
            for mine, theirs in zip(self.moments, other.moments, strict=True)
        )
        return TargetSums(self.names, moments, values)

    def means(self, values: Sequence[str | None], smoothing: float) -> list[list[float]]:
        """Return for each target and value what all rows say, in units of the labels' deviation.

        It is the distance of the value's mean from the mean of all, times n / (n + smoothing) for n rows
        with that value: 0 where there is none.
        """
        scales = [_Scale.of(reduce(ExactMoments.merge, by_fold), smoothing) for by_fold in self.moments]
        return [
            [scale(reduce(add, self._tallies(value, i), Tally())) for value in values]
            for i, scale in enumerate(scales)
        ]

    def fold_means(
        self, values: Sequence[str | None], smoothing: float, *, in_order: bool
    ) -> list[list[list[float]]]:
        """Return the same of what other folds say, or earlier ones alone: by target, value and fold."""
        return [
            [self._by_fold(value, i, scales, in_order=in_order) for value in values]
            for i, scales in enumerate(self._fold_scales(smoothing, in_order=in_order))
        ]

    def _fold_scales(self, smoothing: float, *, in_order: bool) -> list[list[_Scale]]:
        def known(by_fold: tuple[ExactMoments, ...], fold: int) -> ExactMoments:
            others = by_fold[:fold] if in_order else by_fold[:fold] + by_fold[fold + 1 :]
            return reduce(ExactMoments.merge, others, ExactMoments())

        return [
            [_Scale.of(known(by_fold, fold), smoothing) for fold in range(len(by_fold))]
            for by_fold in self.moments
        ]

    def _by_fold(
        self, value: str | None, target: int, scales: list[_Scale], *, in_order: bool
    ) -> list[float]:
        tallies = self._tallies(value, target)
        if in_order:
            known = list(accumulate(tallies[:-1], initial=Tally()))
        else:
            total = reduce(add, tallies, Tally())
            known = [total - tally for tally in tallies]
        return [scale(tally) for scale, tally in zip(scales, known, strict=True)]

    def _tallies(self, value: str | None, target: int) -> Tallies:
        found = self.values.get(value)
        return (Tally(),) * len(self.moments[target]) if found is None else found[target]


@dataclass(frozen=True)
class _Scale:
    """Turns a tally of labels into a feature."""

    mean: float
    reciprocal: float
    smoothing: float

    @classmethod
    def of(cls, moments: ExactMoments, smoothing: float) -> _Scale:
        mean, variance = moments.mean, moments.variance
        if mean is None or variance is None:
            return cls(0.0, 1.0, smoothing)
        return cls(mean, 1 / math.sqrt(variance) if 0 < variance < math.inf else 1.0, smoothing)

    def __call__(self, tally: Tally) -> float:
        if not tally.n:
            return 0.0
        far = (tally.mean - self.mean) * self.reciprocal * (tally.n / (tally.n + self.smoothing))
        return min(max(far, -_FLOAT32_MAX), _FLOAT32_MAX)


def _coded(texts: pl.Series) -> tuple[list[str | None], npt.NDArray[np.int64]]:
    import polars as pl

    distinct = texts.unique()
    codes = texts.to_frame("x").join(
        pl.DataFrame({"x": distinct, "code": np.arange(len(distinct), dtype=np.int64)}),
        on="x",
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return distinct.to_list(), codes["code"].to_numpy()


def _added(first: tuple[Tallies, ...], second: tuple[Tallies, ...]) -> tuple[Tallies, ...]:
    return tuple(
        tuple(a + b for a, b in zip(mine, theirs, strict=True))
        for mine, theirs in zip(first, second, strict=True)
    )
