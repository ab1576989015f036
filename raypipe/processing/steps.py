"""Fitted steps: what is done to each column, as plain data.

A step makes one or more features of one column. It knows nothing of tables or rows:
`raypipe.processing.table` and `raypipe.processing.rows` carry it out, with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json
from raypipe.data.schema import Column
from raypipe.processing.calendar import FEATURES, POSITIONS, Position, position_table

Float32Matrix = npt.NDArray[np.float32]
FLOAT32_MAX = float(np.finfo(np.float32).max)
RARE, MISSING = "<rare>", "<missing>"


@dataclass(frozen=True)
class FittedNumber:
    """A number becomes `(x - centre) * reciprocal`, clipped to what float32 holds.

    Null and NaN count as `fill`; negative infinity as `low`, the smallest finite training value, and
    positive infinity as `high`, the largest. The reciprocal is stored because dividing and multiplying by
    it differ in the last bit, and libraries swap one for the other.
    """

    column: Column
    fill: float
    low: float
    high: float
    centre: float
    reciprocal: float
    indicator: bool
    """Whether a second feature says 1 where the value was missing."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        name = self.column.name
        return (name, f"{name}__missing") if self.indicator else (name,)

    def to_json(self) -> dict[str, Json]:
        return {
            "step": "number",
            "column": self.column.to_json(),
            "fill": self.fill,
            "low": self.low,
            "high": self.high,
            "centre": self.centre,
            "reciprocal": self.reciprocal,
            "indicator": self.indicator,
        }


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

    @property
    def feature_names(self) -> tuple[str, ...]:
        name = self.column.name
        names = [f"{name}={value}" for value in self.values]
        names += [f"{name}={RARE}"] * self.rare + [f"{name}={MISSING}"] * self.missing
        return (*names, f"{name}__frequency") if self.frequencies is not None else tuple(names)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The values that have a code, which is their place here; then come unseen, then missing."""
        others = [text for text, _ in self.frequencies or () if text not in set(self.values)]
        return (*self.values, *others)

    @property
    def unseen_code(self) -> int:
        return len(self.vocabulary)

    @property
    def missing_code(self) -> int:
        return len(self.vocabulary) + 1

    @cached_property
    def table(self) -> Float32Matrix:
        """The features of each code: shape (codes, features)."""
        table = np.zeros((len(self.vocabulary) + 2, len(self.feature_names)), np.float32)
        own = len(self.values)
        table[range(own), range(own)] = 1
        if self.rare:
            table[own : self.missing_code, own] = 1
        if self.missing:
            table[self.missing_code, own + self.rare] = 1
        if self.frequencies is not None:
            frequency = dict(self.frequencies)
            table[: self.unseen_code, -1] = [frequency.get(text, 0.0) for text in self.vocabulary]
        return table

    def to_json(self) -> dict[str, Json]:
        pairs: Json = None
        if self.frequencies is not None:
            pairs = [[text, frequency] for text, frequency in self.frequencies]
        return {
            "step": "category",
            "column": self.column.to_json(),
            "values": list(self.values),
            "rare": self.rare,
            "missing": self.missing,
            "frequencies": pairs,
        }


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

    def to_json(self) -> dict[str, Json]:
        return {
            "step": "date",
            "column": self.column.to_json(),
            "features": list(self.features),
            "years": None if self.years is None else list(self.years),
            "missing": self.missing,
        }


FittedStep: TypeAlias = FittedNumber | FittedCategory | FittedDate


def step_from_json(value: Json) -> FittedStep:
    """Read what a step's `to_json` wrote; raises ArtifactError for anything else."""
    match value:
        case {"step": "number", "column": column, "indicator": bool(indicator)}:
            numbers = {key: _number(value, key) for key in ("fill", "low", "high", "centre", "reciprocal")}
            return FittedNumber(Column.from_json(column), **numbers, indicator=indicator)
        case {
            "step": "category",
            "column": column,
            "values": [*values],
            "rare": bool(rare),
            "missing": bool(missing),
            "frequencies": list() | tuple() | None as pairs,
        }:
            frequencies = None if pairs is None else tuple(_pair(pair) for pair in pairs)
            return FittedCategory(Column.from_json(column), _texts(values), rare, missing, frequencies)
        case {
            "step": "date",
            "column": column,
            "features": [*features],
            "years": [int(), int()] | None as years,
            "missing": bool(missing),
        }:
            span = None if years is None else (int(years[0]), int(years[1]))
            return FittedDate(Column.from_json(column), _texts(features), span, missing)
        case _:
            raise ArtifactError(f"A step must be a number, category or date step. Got {value!r:.200}.")


def _number(value: object, key: str) -> float:
    number = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(number, int | float):
        raise ArtifactError(f"{key} of a number step must be a number. Got {number!r}.")
    return float(number)


def _texts(values: Sequence[Json]) -> tuple[str, ...]:
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) < len(values):
        raise ArtifactError(f"Values and features of a step must be texts. Got {values!r:.200}.")
    return texts


def _pair(value: Json) -> tuple[str, float]:
    match value:
        case [str(text), float() | int() as frequency]:
            return text, float(frequency)
        case _:
            raise ArtifactError(f"A frequency must be a pair of a text and a number. Got {value!r:.200}.")
