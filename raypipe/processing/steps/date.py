"""Dates and times: calendar parts, and places on circles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from raypipe.data.schema import Column
from raypipe.processing.calendar import FEATURES, POSITIONS, Position, position_table
from raypipe.processing.steps.lookup import Float32Matrix


@dataclass(frozen=True)
class FittedDate:
    """A moment in UTC becomes calendar parts spread over [-1, 1] and places on circles; zeros if missing."""

    column: Column
    features: tuple[str, ...]
    """Names out of `raypipe.processing.calendar.FEATURES`, in the order given there."""
    years: tuple[int, int] | None
    """First and last training year, where the year is a feature: these become -1 and 1."""
    missing: bool
    """Whether a last feature says 1 where the value was missing."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return (self.column,)

    @property
    def feature_names(self) -> tuple[str, ...]:
        parts = [*self.features, *["year"] * (self.years is not None), *["missing"] * self.missing]
        return tuple(f"{self.column.name}__{part}" for part in parts)

    @cached_property
    def tables(self) -> tuple[tuple[Position, Float32Matrix], ...]:
        """The lookup table of each position that some feature needs, in the order of the features."""
        grouped = ((place, tuple(f for f in self.features if f in FEATURES[place])) for place in POSITIONS)
        return tuple((place, position_table(place, features)) for place, features in grouped if features)

    @property
    def year_scale(self) -> tuple[float, float]:
        """Centre and reciprocal for the year."""
        first, last = self.years or (0, 2)
        return (first + last) / 2, 2 / (last - first)
