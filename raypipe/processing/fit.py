"""Deciding which columns are used: what the config says first, then what the training rows show."""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.core.errors import ConfigError, DataError
from raypipe.data.config import DataSettings
from raypipe.data.expressions import label_inputs
from raypipe.data.names import suggest
from raypipe.data.profile import ColumnProfile, Profile
from raypipe.data.schema import Column
from raypipe.processing.config import ProcessingSettings
from raypipe.processing.fit_steps import fit_step
from raypipe.processing.report import FeatureChoice
from raypipe.processing.steps import FittedStep
from raypipe.processing.transform import FittedTransform

IDENTIFIER_RATIO = 0.9
"""Text of which a larger share of values is distinct names rows instead of describing them."""
IDENTIFIER_MIN_ROWS = 20


def fit_transform(
    table_profile: Profile,
    columns: tuple[Column, ...],
    data: DataSettings,
    processing: ProcessingSettings,
) -> FittedTransform:
    """Return the transform for the columns of a data version, from the profile of the training rows only.

    The profile needs no more than `candidate_columns`. Raises ConfigError for a name that is no column, or
    that the config both uses and excludes; DataError where no feature is left.
    """
    excluded = _excluded(columns, data, processing)
    steps: list[FittedStep] = []
    choices: list[FeatureChoice] = []
    for column in columns:
        step, reason = None, excluded.get(column.name)
        if reason is None:
            step, reason = _fitted(table_profile[column.name], column, processing)
        if step is not None:
            steps.append(step)
        choices.append(FeatureChoice(column.name, len(step.feature_names) if step else 0, reason))
    if not steps:
        raise DataError(_no_feature(choices))
    return FittedTransform(tuple(steps), tuple(choices))


def candidate_columns(
    columns: tuple[Column, ...], data: DataSettings, processing: ProcessingSettings
) -> tuple[str, ...]:
    """Return the columns that the config lets become features: those that need profiling."""
    excluded = _excluded(columns, data, processing)
    return tuple(column.name for column in columns if column.name not in excluded)


def _excluded(
    columns: tuple[Column, ...], data: DataSettings, processing: ProcessingSettings
) -> dict[str, str]:
    """Return why each column that the config excludes is no feature."""
    known = [column.name for column in columns]
    listed = None if processing.features == "auto" else processing.features
    _known(processing.as_category, known, "processing.as_category")
    _known(listed or (), known, "processing.features")
    _no_measures_as_category(columns, processing)
    reasons = _declared(data, processing)
    if listed is None:
        return reasons
    for name in listed:
        if name in reasons and name != data.time:
            raise ConfigError(
                f"processing.features must not name {name!r}, which {reasons[name]}; remove it from the list."
            )
    not_listed = {name: "is not in processing.features" for name in known if name not in listed}
    return {**not_listed, **{name: reason for name, reason in reasons.items() if name not in listed}}


def _declared(data: DataSettings, processing: ProcessingSettings) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if data.time is not None and not processing.use_time:
        reasons[data.time] = "is the event time (processing.use_time makes it a feature)"
    reasons |= dict.fromkeys(data.drop, "is listed in data.drop")
    reasons |= dict.fromkeys(label_inputs(data), "is an input of the label's expression")
    return reasons | {data.label_name: "is the label"}


def _fitted(
    profile: ColumnProfile, column: Column, processing: ProcessingSettings
) -> tuple[FittedStep | None, str]:
    useless = _useless(profile, automatic=processing.features == "auto", processing=processing)
    return (None, useless) if useless else fit_step(profile, column, processing)


def _useless(profile: ColumnProfile, *, automatic: bool, processing: ProcessingSettings) -> str | None:
    """Return why nothing can be learned from a column; a listed one is refused only if it has no value."""
    n_present = profile.n_rows - profile.n_missing
    if n_present - profile.n_infinite == 0:
        return "has no value in the training rows"
    if not automatic:
        return None
    if profile.n_distinct == 1 and n_present - profile.n_infinite == profile.n_rows:
        return "has only one value in the training rows"
    is_text = profile.column.kind == "category" and profile.name not in processing.as_category
    if is_text and n_present >= IDENTIFIER_MIN_ROWS and profile.n_distinct > IDENTIFIER_RATIO * n_present:
        return f"names rows: {profile.n_distinct} distinct texts in {n_present} rows"
    return None


def _no_measures_as_category(columns: tuple[Column, ...], processing: ProcessingSettings) -> None:
    for column in columns:
        if column.name in processing.as_category and column.kind in ("number", "timestamp"):
            raise ConfigError(
                f"processing.as_category must name integer columns. Got {column.name!r}, which is of kind "
                f"{column.kind}: cast it to integers or text in the source."
            )


def _known(names: Iterable[str], known: list[str], key: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{key} must name columns of the data. Got {name!r}: {suggest(name, known)}")


def _no_feature(choices: list[FeatureChoice]) -> str:
    reasons = "; ".join(f"{choice.column!r} {choice.reason}" for choice in choices)
    return f"At least one column must be left to learn from, and none is: {reasons}."
