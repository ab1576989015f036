"""What the `processing` part of a config says."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from raypipe.core.settings import ImportPath, Settings
from raypipe.data.config import ColumnName
from raypipe.processing.column_settings import (
    CategoricalStep,
    CategoryKeys,
    DateKeys,
    DateStep,
    NumberKeys,
    NumericStep,
)


class ColumnSteps(NumberKeys, CategoryKeys, DateKeys):
    """What is done to some columns; what is not said here is as for all columns of their kind."""

    match: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    """Names, or patterns such as `cost_*`."""
    impute: Literal["median", "mean", "mode", "constant", "none"] | None = None
    value: float | str | None = None
    """What `impute: constant` fills in."""
    indicator: bool | None = None

    @field_validator("match", mode="before")
    @classmethod
    def _one_or_many(cls, match: object) -> object:
        return (match,) if isinstance(match, str) else match

    @model_validator(mode="after")
    def _constant_has_a_value(self) -> Self:
        if (self.value is not None) != (self.impute == "constant"):
            raise ValueError("value is what `impute: constant` fills in; write both or neither")
        return self


class CrossStep(CategoryKeys):
    """Columns whose values together are a category; what is not said is as for all categories."""

    columns: Annotated[tuple[ColumnName, ...], Field(min_length=2, max_length=4)]


class CustomStep(Settings):
    """Code of your own, found by its import path: it runs whenever features are made."""

    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    function: ImportPath | None = None
    """Takes a polars frame of the columns and returns numbers: a frame, or an array with a line a row."""
    transformer: ImportPath | None = None
    """A class with scikit-learn's `fit` and `transform`; fitted on training rows, kept without pickle."""
    params: dict[str, JsonValue] = Field(default_factory=dict)
    """What the function or the class is called with, by name."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.function is None) == (self.transformer is None):
            raise ValueError("a custom step must name a function or a transformer, and not both")
        return self


class DeduplicateSettings(Settings):
    """Which rows count as one; the others are dropped before the split, and never at the endpoint."""

    by: Literal["all"] | Annotated[tuple[ColumnName, ...], Field(min_length=1)] = "all"
    """The columns that make rows equal; `all` takes every column, label and time included."""
    keep: Literal["first", "last"] = "last"
    """Which of them stays, by event time where there is one, by the order of reading otherwise."""


class ProcessingSettings(Settings):
    """How columns become features."""

    features: Literal["auto"] | tuple[ColumnName, ...] = "auto"
    """The columns to use; `auto` takes all but the label, its inputs, the dropped, and useless ones."""
    as_category: tuple[ColumnName, ...] = ()
    """Integer columns whose values are codes, not amounts."""
    numeric: NumericStep = NumericStep()
    categorical: CategoricalStep = CategoricalStep()
    date: DateStep = DateStep()
    columns: tuple[ColumnSteps, ...] = ()
    """What differs for single columns or groups; the first rule that matches a column counts."""
    crosses: tuple[CrossStep, ...] = ()
    """Columns to be taken together; a list of names is short for `{columns: [...]}`."""
    custom: tuple[CustomStep, ...] = ()
    """Functions and scikit-learn transformers by import path; needs `allow_code`."""
    allow_code: bool = False
    """Whether making features may run the code that `custom` names, here and wherever a model is loaded."""
    deduplicate: DeduplicateSettings | None = None
    use_time: bool = False
    """Whether the event time column is itself a date feature."""
    compute: Literal["auto", "local", "ray"] = "auto"
    """Where to transform: here, over Ray Data, or by the number of rows."""
    in_memory_cells: Annotated[int, Field(ge=0)] = 20_000_000
    """Of more rows times columns, a run holds no more than blocks in memory; the features go to a file."""

    @field_validator("crosses", mode="before")
    @classmethod
    def _names_alone(cls, crosses: object) -> object:
        if not isinstance(crosses, list | tuple):
            return crosses
        return [{"columns": one} if isinstance(one, list | tuple) else one for one in crosses]

    @model_validator(mode="after")
    def _code_is_allowed(self) -> Self:
        if self.custom and not self.allow_code:
            found = ", ".join(str(step.function or step.transformer) for step in self.custom)
            raise ValueError(
                f"custom runs code ({found}) here and wherever a model of this pipeline is loaded; "
                "write `allow_code: true` beside it to allow that"
            )
        return self
