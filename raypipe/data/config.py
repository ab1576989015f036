"""What the `data` part of a config says."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from raypipe.core.settings import Settings
from raypipe.data.contract_settings import ContractSettings
from raypipe.data.sources.config import ColumnName as ColumnName
from raypipe.data.sources.config import SourceSettings


class LabelSettings(Settings):
    """A label computed from other columns; those columns are then no features."""

    name: ColumnName
    expression: Annotated[str, Field(min_length=1)]
    """An SQL expression over the source's columns, such as `arr_delay > 15`."""


class SplitSettings(Settings):
    """The shares of the newest rows kept for choosing (validation) and for judging (test)."""

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Self:
        if self.validation + self.test > 0.9:
            raise ValueError(
                f"validation + test must be <= 0.9, so that rows are left to train on. "
                f"Got {self.validation + self.test:g}"
            )
        return self


class RetentionSettings(Settings):
    """Which data versions `raypipe data gc` keeps: those that either rule keeps; without both, all.

    The newest version, and those that models or unfinished runs name, are kept whatever is said here.
    """

    keep_last: Annotated[int, Field(ge=1)] | None = None
    """So many of the newest versions."""
    keep_days: Annotated[float, Field(gt=0)] | None = None
    """Versions younger than so many days."""


class DataSettings(Settings):
    """Where rows come from, what they must be, and how they are split."""

    sources: Annotated[tuple[SourceSettings, ...], Field(min_length=1)]
    label: ColumnName | LabelSettings
    """The column to predict, or how to compute it."""
    time: ColumnName | None = None
    """The column with the event time; with it rows are split by time, without it at random."""
    key: tuple[ColumnName, ...] = ()
    """The columns that together name a row, for `raypipe data diff` to tell changed rows by."""
    where: str | None = None
    """An SQL condition; rows for which it is not true are left out."""
    drop: tuple[ColumnName, ...] = ()
    """Columns that are no features: leaks, identifiers, what is known only afterwards."""
    contract: ContractSettings = ContractSettings()
    split: SplitSettings = SplitSettings()
    retention: RetentionSettings = RetentionSettings()

    @field_validator("key", mode="before")
    @classmethod
    def _one_or_many(cls, key: object) -> object:
        return (key,) if isinstance(key, str) else key

    @property
    def label_name(self) -> str:
        return self.label if isinstance(self.label, str) else self.label.name

    def without_secrets(self) -> Self:
        """Return the settings as anybody may see them."""
        return self.model_copy(update={"sources": tuple(one.without_secrets() for one in self.sources)})

    @model_validator(mode="after")
    def _has_time(self) -> Self:
        if self.contract.freshness is not None and self.time is None:
            raise ValueError("contract.freshness needs event times: name their column in `data.time`")
        return self

    @field_validator("sources")
    @classmethod
    def _distinct_names(cls, sources: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"source names must differ from each other. Got {names}")
        if all(source.join for source in sources):
            raise ValueError("one source at least must be without `join`, for the others to join to")
        return sources
