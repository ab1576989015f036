"""Fitting target encodings: one for rows to come, and one for each fold of the training rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.column_settings import CategoricalStep
from raypipe.processing.fit_category import exact_counts, value_text
from raypipe.processing.report import StepFit
from raypipe.processing.steps.target import FittedTarget
from raypipe.processing.target import TargetSums


def fit_target(
    profile: ColumnProfile, column: Column, settings: CategoricalStep, sums: TargetSums, *, in_order: bool
) -> StepFit:
    """Return the target encoding of a column, with that of each fold; raises DataError.

    `in_order`: a fold knows earlier ones alone, not all others.
    """
    exact_counts(profile, "target")
    values = tuple(value_text(value, column) for value, _ in profile.values.sorted_items())
    made = sums.means((*values, None), settings.smoothing)
    means, missing = tuple(tuple(one[:-1]) for one in made), tuple(one[-1] for one in made)
    step = FittedTarget(column, sums.names, values, means, missing)
    reason = f"a category: the label's mean for each of {len(values)} values, out of fold on training rows"
    return StepFit(step, reason, fold_tables=_tables(sums, values, settings.smoothing, in_order=in_order))


def _tables(
    sums: TargetSums, values: tuple[str, ...], smoothing: float, *, in_order: bool
) -> npt.NDArray[np.float32]:
    by_fold = np.array(sums.fold_means((*values, None), smoothing, in_order=in_order), np.float32)
    tables = np.transpose(by_fold, (2, 1, 0))
    # Between the last value and missing comes unseen, which no training row is.
    return np.insert(tables, len(values), 0, axis=1)
