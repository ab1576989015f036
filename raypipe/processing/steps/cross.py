"""Several columns taken together as one category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from raypipe.data.schema import Column
from raypipe.processing.steps.category import FittedCategory, FittedOrdinal
from raypipe.processing.steps.hashed import FittedHash, FittedText
from raypipe.processing.steps.lookup import MISSING
from raypipe.processing.steps.target import FittedTarget

CategoryStep: TypeAlias = FittedCategory | FittedOrdinal | FittedHash | FittedText | FittedTarget
BETWEEN = " & "


@dataclass(frozen=True)
class FittedCross:
    """The values of some columns, joined to one text, are taken as a category."""

    columns: tuple[Column, ...]
    step: CategoryStep
    """Of a column that has the joined texts."""

    @property
    def column(self) -> Column:
        return self.step.column

    @property
    def inputs(self) -> tuple[Column, ...]:
        return self.columns

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.step.feature_names


def cross_name(names: Sequence[str]) -> str:
    """Return the name of the column that a cross of columns makes."""
    return BETWEEN.join(names)


def cross_text(texts: Sequence[str | None]) -> str:
    """Return the values of one row as one text; none of them is missing then."""
    return BETWEEN.join(MISSING if text is None else text for text in texts)
