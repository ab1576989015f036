"""Categories by what their training rows had as label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raypipe.data.schema import Column
from raypipe.processing.steps.lookup import Float32Matrix, missing_code


@dataclass(frozen=True)
class FittedTarget:
    """A value becomes how far the label's mean over its training rows lies from the mean over all.

    In units of the label's deviation, and drawn towards 0 where there are few rows; 0 for values that
    training rows did not have. These are the numbers for rows that were not trained on: for the training
    rows themselves see `raypipe.processing.out_of_fold`.
    """

    column: Column
    targets: tuple[str, ...]
    """What the means are of: classes, or one empty text for two classes and for numbers."""
    values: tuple[str, ...]
    means: tuple[tuple[float, ...], ...]
    """For each target, one number a value."""
    missing: tuple[float, ...]
    """The numbers of a missing value, one a target."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        return (self.column,)

    @property
    def feature_names(self) -> tuple[str, ...]:
        name = self.column.name
        return tuple(f"{name}__target={one}" if one else f"{name}__target" for one in self.targets)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.values

    @cached_property
    def table(self) -> Float32Matrix:
        """The features of each code: shape (codes, targets)."""
        table = np.zeros((missing_code(self) + 1, len(self.targets)), np.float32)
        for i, means in enumerate(self.means):
            table[: len(self.values), i] = means
        table[-1] = self.missing
        return table
