"""What the `processing` part of a config says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raypipe.core.settings import Settings
from raypipe.data.config import ColumnName


class NumericStep(Settings):
    """A number column: fill what is missing, mark it, scale."""

    impute: Literal["median", "mean", "zero"] = "median"
    indicator: bool = True
    """Add a 0/1 feature that says the value was missing, where training rows had missing values."""
    scale: Literal["standard", "none"] = "standard"


class CategoricalStep(Settings):
    """A text, integer-code or boolean column: a 0/1 feature per frequent value, for rare, for missing."""

    max_categories: Annotated[int, Field(ge=2, le=1000)] = 24
    """The most values with a feature of their own."""
    min_count: Annotated[int, Field(ge=1)] = 10
    """A value seen in fewer training rows is rare, unless the column is boolean."""
    frequency: bool = False
    """Also add log(1 + the number of training rows with that value), 0 for unseen ones."""


class DateStep(Settings):
    """A date or timestamp column: calendar parts, and positions on the circle of the day, week and year."""

    parts: tuple[Literal["year", "month", "day", "weekday", "hour", "minute"], ...] = (
        "month",
        "weekday",
        "hour",
    )
    cycles: bool = True


class ProcessingSettings(Settings):
    """How columns become features."""

    features: Literal["auto"] | tuple[ColumnName, ...] = "auto"
    """The columns to use; `auto` takes all but the label, its inputs, the dropped, and useless ones."""
    as_category: tuple[ColumnName, ...] = ()
    """Integer columns whose values are codes, not amounts."""
    numeric: NumericStep = NumericStep()
    categorical: CategoricalStep = CategoricalStep()
    date: DateStep = DateStep()
    use_time: bool = False
    """Whether the event time column is itself a date feature."""
    compute: Literal["auto", "local", "ray"] = "auto"
    """Where to transform: here, over Ray Data, or by the number of rows."""
