"""What the `contract` part of a config's `data` says."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from raypipe.core.settings import Settings
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.config import ColumnName

Violation = Literal["drop", "quarantine", "stop"]
"""What becomes of a row that breaks a rule; `stop` refuses the batch, and sets rows of live traffic aside."""
BatchViolation = Literal["stop", "warn"]
"""What becomes of a batch that breaks a rule as a whole."""


class ColumnRule(Settings):
    """What every value of a column must be; a value that is not sends its row where `on_violation` says."""

    kind: ColumnKind | None = None
    """What the values are, where files leave it open, as CSV does: `category` keeps codes such as 00501."""
    nullable: bool = True
    min: float | None = None
    max: float | None = None
    allowed: tuple[str | int | float | bool, ...] | None = None
    pattern: str | None = None
    """A regular expression that the whole text must match."""
    on_violation: Violation = "quarantine"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min must be <= max. Got min {self.min} and max {self.max}")
        return self


class RowRule(Settings):
    """What must be so between the columns of a row."""

    must: Annotated[str, Field(min_length=1)]
    """An SQL condition over the columns; broken where it is false, and not where it is null."""
    on_violation: Violation = "quarantine"


class UniqueRule(Settings):
    """Columns whose values together are in one row only; the first row keeps them."""

    by: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    """A row in which any of them is missing repeats none."""
    on_violation: Violation = "quarantine"

    @field_validator("by", mode="before")
    @classmethod
    def _one_or_many(cls, by: object) -> object:
        return (by,) if isinstance(by, str) else by


class FreshnessRule(Settings):
    """How old the newest row may be."""

    max_age_s: Annotated[float, Field(gt=0)]
    """Seconds from the newest event time, of `data.time`, until now."""
    on_violation: BatchViolation = "stop"


class VolumeRule(Settings):
    """How many rows a batch may bring: what is new at the sources since the version before."""

    min_rows: Annotated[int, Field(ge=0)] | None = None
    max_rows: Annotated[int, Field(ge=0)] | None = None
    min_ratio: Annotated[float, Field(gt=0)] | None = None
    """Of the median of the batches before, but for the first load."""
    max_ratio: Annotated[float, Field(gt=0)] | None = None
    on_violation: BatchViolation = "stop"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for what in ("rows", "ratio"):
            least, most = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if least is not None and most is not None and least > most:
                raise ValueError(
                    f"min_{what} must be <= max_{what}. Got min_{what} {least} and max_{what} {most}"
                )
        return self


class ContractSettings(Settings):
    """What rows must satisfy at the door."""

    columns: dict[ColumnName, ColumnRule] = Field(default_factory=dict)
    rows: tuple[RowRule, ...] = ()
    unique: tuple[UniqueRule, ...] = ()
    freshness: FreshnessRule | None = None
    volume: VolumeRule | None = None
    min_rows: Annotated[int, Field(ge=0)] = 1
    """A data version with fewer accepted rows is refused."""
    max_bad_ratio: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A data version with a larger share of rows that broke a rule is refused."""

    @field_validator("unique")
    @classmethod
    def _distinct_keys(cls, unique: tuple[UniqueRule, ...]) -> tuple[UniqueRule, ...]:
        keys = [rule.by for rule in unique]
        if len(set(keys)) < len(keys):
            raise ValueError(f"each rule must be by other columns. Got {[list(key) for key in keys]}")
        return unique
