"""From the training rows to features: what only they decide, and what only they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from raypipe.data.config import DataSettings
from raypipe.data.profile import Profile
from raypipe.data.schema import Column
from raypipe.data.split import Rows
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit import TrainingFit, fit_all, joint_plan
from raypipe.processing.fit_custom import fit_custom
from raypipe.processing.joint import Joint, JointPlan
from raypipe.processing.out_of_fold import Folds
from raypipe.processing.report import TrainingRows
from raypipe.processing.selection import named_together
from raypipe.processing.target import Target
from raypipe.processing.transform import Float32Matrix

if TYPE_CHECKING:
    import pyarrow as pa


def fit_training(
    profile: Profile,
    rows: Rows,
    target: Callable[[], Target],
    columns: tuple[Column, ...],
    data: DataSettings,
    processing: ProcessingSettings,
    *,
    in_order: bool,
    n_duplicates: int = 0,
    read: Callable[[JointPlan, Folds], Joint] | None = None,
) -> TrainingFit:
    """Fit all steps on the training rows, of which `profile` is the profile and `target` gives the labels.

    `in_order`: the rows are in the order of `data.time`. `n_duplicates` rows were dropped before. `read` is
    asked for the joint statistics of rows that are not in memory. Raises what `fit_all` raises.
    """
    plan = joint_plan(columns, data, processing)
    folds = _folds(rows, data.time) if plan.targets and in_order else Folds()
    joint = Joint()
    if not plan.is_empty:
        joint = Joint.of(rows, plan, target(), folds) if read is None else read(plan, folds)
    custom = []
    for place, said in enumerate(processing.custom):
        where = f"processing.custom[{place}]"
        named = named_together(said.columns, where, columns, data, processing)
        custom.append(fit_custom(said, where, named, rows, profile))
    fit = fit_all(profile, joint, folds, columns, data, processing, custom)
    trained_on = TrainingRows(rows.num_rows, n_duplicates)
    return replace(fit, transform=replace(fit.transform, trained_on=trained_on))


def transform_training(fit: TrainingFit, rows: pa.Table, start: int = 0) -> Float32Matrix:
    """Return the features of training rows, the first of which has the place `start` among them.

    Unlike `FittedTransform.transform_table`, which is for all other rows, no feature of a row depends on its
    own label.
    """
    return fit.out_of_fold.replaced(fit.transform.transform_table(rows), rows, start)


def _folds(rows: Rows, time: str | None) -> Folds:
    import polars as pl

    if time is None:
        return Folds.in_time(np.arange(rows.num_rows))
    times = pl.Series(pl.from_arrow(rows[time]))
    return Folds.in_time(times.cast(pl.Datetime("us")).to_physical().fill_null(0).to_numpy())
