"""Categories: a feature for each value, or the value's place among all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raypipe.data.schema import Column
from raypipe.processing.steps.lookup import (
    MISSING,
    RARE,
    Float32Matrix,
    code_of,
    missing_code,
    unseen_code,
)


@dataclass(frozen=True)
class FittedCategory:
    """A value becomes a 1 in the feature of its own, of rare values, or of missing ones.

    A value that training rows did not have counts as rare. Where training rows had no rare (or missing)
    value there is no feature for it, since nothing could be learned from one: all features of the column
    are then 0.
    """

    column: Column
    values: tuple[str, ...]
    """Values with a feature of their own, as text: integers in decimal, booleans as `true` and `false`."""
    rare: bool
    missing: bool
    frequencies: tuple[tuple[str, float], ...] | None = None
    """Per training value, log(1 + its number of training rows), for one more feature; 0 for unseen values."""
    fill: str | None = None
    """The value that a missing one counts as, besides having a feature of its own where `missing`."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return (self.column,)

    @property
    def feature_names(self) -> tuple[str, ...]:
        name = self.column.name
        names = [f"{name}={value}" for value in self.values]
        names += [f"{name}={RARE}"] * self.rare + [f"{name}={MISSING}"] * self.missing
        return (*names, f"{name}__frequency") if self.frequencies is not None else tuple(names)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The values that have a code, which is their place here; then come unseen, then missing."""
        own = set(self.values)
        return (*self.values, *(text for text, _ in self.frequencies or () if text not in own))

    @cached_property
    def table(self) -> Float32Matrix:
        """The features of each code: shape (codes, features)."""
        missing = missing_code(self)
        table = np.zeros((missing + 1, len(self.feature_names)), np.float32)
        own = len(self.values)
        table[range(own), range(own)] = 1
        if self.rare:
            table[own:missing, own] = 1
        if self.frequencies is not None:
            frequency = dict(self.frequencies)
            table[: len(self.vocabulary), -1] = [frequency.get(text, 0.0) for text in self.vocabulary]
        if self.fill is not None:
            table[missing] = table[code_of(self, self.fill)]
        if self.missing:
            table[missing, own + self.rare] = 1
        return table


@dataclass(frozen=True)
class FittedOrdinal:
    """A value becomes its place among the training values, from 1/n to 1; 0 where rare, unseen or missing."""

    column: Column
    values: tuple[str, ...]
    """In their order, as text."""
    missing: bool
    """Whether a second feature says 1 where the value was missing."""
    fill: str | None = None
    """The value that a missing one counts as."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return (self.column,)

    @property
    def feature_names(self) -> tuple[str, ...]:
        name = self.column.name
        return (f"{name}__place", *[f"{name}={MISSING}"] * self.missing)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.values

    @cached_property
    def table(self) -> Float32Matrix:
        """The features of each code: shape (codes, features)."""
        table = np.zeros((missing_code(self) + 1, len(self.feature_names)), np.float32)
        table[: unseen_code(self), 0] = [(i + 1) / len(self.values) for i in range(len(self.values))]
        if self.fill is not None:
            table[-1] = table[code_of(self, self.fill)]
        if self.missing:
            table[-1, 1] = 1
        return table
