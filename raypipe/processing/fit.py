"""Fitting all steps from the statistics of the training rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from raypipe.core.errors import ConfigError, DataError
from raypipe.core.ids import Json
from raypipe.data.config import DataSettings
from raypipe.data.profile import ColumnProfile, Profile
from raypipe.data.schema import Column
from raypipe.processing.choose import chosen, overlaid
from raypipe.processing.column_settings import CategoricalStep, DateStep, KindStep, NumericStep
from raypipe.processing.config import CustomStep, ProcessingSettings
from raypipe.processing.fit_category import fit_category
from raypipe.processing.fit_date import fit_date
from raypipe.processing.fit_number import fit_number
from raypipe.processing.fit_target import fit_target
from raypipe.processing.joint import Crossed, Joint, JointPlan
from raypipe.processing.out_of_fold import Folds, FoldTables, OutOfFold
from raypipe.processing.report import FeatureChoice, StepFit
from raypipe.processing.rules import cross_rule, rule_of
from raypipe.processing.selection import candidate_columns, excluded, named_together, useless
from raypipe.processing.steps import FittedCross, FittedStep
from raypipe.processing.steps.cross import CategoryStep, cross_name
from raypipe.processing.transform import FittedTransform

__all__ = ["TrainingFit", "candidate_columns", "fit_all", "fit_transform", "joint_plan"]


@dataclass(frozen=True)
class TrainingFit:
    """What makes features of any rows, and what replaces some of them on the training rows."""

    transform: FittedTransform
    out_of_fold: OutOfFold


def fit_transform(
    profile: Profile, columns: tuple[Column, ...], data: DataSettings, processing: ProcessingSettings
) -> FittedTransform:
    """Return the transform where the profile of the training rows says all: no crosses, no `encode: target`.

    The profile needs no more than `candidate_columns`. Raises ConfigError for a name that is no column, or
    that the config both uses and excludes; DataError where no feature is left.
    """
    return fit_all(profile, Joint(), Folds(), columns, data, processing).transform


def joint_plan(columns: tuple[Column, ...], data: DataSettings, processing: ProcessingSettings) -> JointPlan:
    """Return what must be read off the training rows besides their profile; raises ConfigError."""
    crosses = tuple(_crossed(place, columns, data, processing) for place in range(len(processing.crosses)))
    candidates = candidate_columns(columns, data, processing)
    own = [column for column in columns if column.name in candidates]
    targets = [column for column in own if _is_target(chosen(column, processing))]
    together = [one for place, one in enumerate(crosses) if _is_target(_cross_settings(place, processing))]
    return JointPlan(crosses, (*targets, *together))


def fit_all(
    profile: Profile,
    joint: Joint,
    folds: Folds,
    columns: tuple[Column, ...],
    data: DataSettings,
    processing: ProcessingSettings,
    custom: Sequence[StepFit] = (),
) -> TrainingFit:
    """Return all steps, from the profile and the joint statistics of the training rows.

    `custom` are the fits of `processing.custom`, each of which saw training rows.

    Raises ConfigError for a name that is no column, or that the config both uses and excludes; DataError
    where no feature is left, or a column has too many values for its encoding.
    """
    left_out = excluded(columns, data, processing)
    fitted = [
        _Fitted.left_out(column.name, left_out[column.name])
        if column.name in left_out
        else _own(profile[column.name], column, joint, folds, processing)
        for column in columns
    ]
    fitted += [
        _cross(_crossed(place, columns, data, processing), place, joint, folds, processing)
        for place in range(len(processing.crosses))
    ]
    fitted += [
        _Fitted.of(custom_name(said), fit, said.model_dump(mode="json", exclude_defaults=True))
        for said, fit in zip(processing.custom, custom, strict=True)
    ]
    choices = tuple(one.choice for one in fitted)
    if not any(choice.used for choice in choices):
        raise DataError(_no_feature(choices))
    steps = tuple(one.step for one in fitted if one.step is not None)
    return TrainingFit(FittedTransform(steps, choices), OutOfFold(folds, tuple(_encoded(fitted))))


@dataclass(frozen=True)
class _Fitted:
    choice: FeatureChoice
    step: FittedStep | None = None
    tables: npt.NDArray[np.float32] | None = None

    @classmethod
    def left_out(cls, column: str, reason: str) -> _Fitted:
        return cls(FeatureChoice(column, 0, reason))

    @classmethod
    def of(cls, name: str, fit: StepFit, rule: Mapping[str, Json]) -> _Fitted:
        changed = {how: n for how, n in fit.changed.items() if n}
        n_features = len(fit.step.feature_names) if fit.step else 0
        return cls(FeatureChoice(name, n_features, fit.reason, changed, rule), fit.step, fit.fold_tables)


def _own(
    profile: ColumnProfile, column: Column, joint: Joint, folds: Folds, processing: ProcessingSettings
) -> _Fitted:
    settings = chosen(column, processing)
    reason = useless(profile, settings, processing)
    if reason is not None:
        return _Fitted.left_out(column.name, reason)
    column = replace(column, nullable=column.nullable or profile.n_missing > 0)
    fit = _fit_step(profile, column, settings, joint, folds)
    return _Fitted.of(column.name, fit, rule_of(column, settings))


def _fit_step(
    profile: ColumnProfile, column: Column, settings: KindStep, joint: Joint, folds: Folds
) -> StepFit:
    match settings:
        case DateStep():
            return fit_date(profile, column, settings)
        case CategoricalStep(encode="target"):
            if column.name not in joint.targets:
                raise ConfigError(f"encode target needs the labels of the training rows ({column.name!r}).")
            sums = joint.targets[column.name]
            return fit_target(profile, column, settings, sums, in_order=folds.in_order)
        case CategoricalStep():
            return fit_category(profile, column, settings)
        case NumericStep():
            return fit_number(profile, column, settings)


def _cross(
    crossed: Crossed, place: int, joint: Joint, folds: Folds, processing: ProcessingSettings
) -> _Fitted:
    settings, name = _cross_settings(place, processing), crossed.column.name
    fit = _fit_step(joint.crosses[name], crossed.column, settings, joint, folds)
    if fit.step is not None:
        step = FittedCross(crossed.columns, cast(CategoryStep, fit.step))
        fit = replace(fit, step=step, reason=f"columns together, {fit.reason}")
    return _Fitted.of(name, fit, cross_rule((column.name for column in crossed.columns), settings))


def _crossed(
    place: int, columns: tuple[Column, ...], data: DataSettings, processing: ProcessingSettings
) -> Crossed:
    where, names = f"processing.crosses[{place}]", processing.crosses[place].columns
    together = named_together(names, where, columns, data, processing)
    for column in together:
        if column.kind in ("number", "timestamp"):
            raise ConfigError(
                f"{where} must name columns of text, integers or booleans. Got {column.name!r}, of kind "
                f"{column.kind}: make a category of it in the source."
            )
    return Crossed(together, Column(cross_name(names), "category", nullable=False))


def _cross_settings(place: int, processing: ProcessingSettings) -> CategoricalStep:
    cross = processing.crosses[place]
    said = {key: getattr(cross, key) for key in cross.model_fields_set - {"columns"}}
    where = f"processing.crosses[{place}]"
    made = overlaid(processing.categorical, said, where, "crosses columns")
    assert isinstance(made, CategoricalStep)
    if made.encode == "text":
        raise ConfigError(f"{where}.encode must be onehot, ordinal, hash or target. Got text.")
    return made


def _is_target(settings: KindStep) -> bool:
    return isinstance(settings, CategoricalStep) and settings.encode == "target"


def _encoded(fitted: Iterable[_Fitted]) -> Iterator[FoldTables]:
    """Yield what replaces features of training rows, with the place of each."""
    at = 0
    for one in fitted:
        if one.step is not None:
            if one.tables is not None:
                yield FoldTables(at, one.step, one.tables)
            at += len(one.step.feature_names)


def custom_name(custom: CustomStep) -> str:
    """Return what a custom step is called among the choices."""
    return f"{custom.function or custom.transformer}({', '.join(custom.columns)})"


def _no_feature(choices: Iterable[FeatureChoice]) -> str:
    reasons = "; ".join(f"{choice.column!r} {choice.reason}" for choice in choices)
    return f"At least one column must be left to learn from, and none is: {reasons}."
