"""Deciding which columns are used: what the config says first, then what the training rows show."""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.core.errors import ConfigError
from raypipe.data.config import DataSettings
from raypipe.data.expressions import label_inputs
from raypipe.data.names import suggest
from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.choose import check_rules
from raypipe.processing.column_settings import CategoricalStep, KindStep
from raypipe.processing.config import ProcessingSettings

IDENTIFIER_RATIO = 0.9
"""Text of which a larger share of values is distinct names rows instead of describing them."""
IDENTIFIER_MIN_ROWS = 20


def candidate_columns(
    columns: tuple[Column, ...], data: DataSettings, processing: ProcessingSettings
) -> tuple[str, ...]:
    """Return the columns that the config lets become features: those that need profiling."""
    left_out = excluded(columns, data, processing)
    return tuple(column.name for column in columns if column.name not in left_out)


def excluded(
    columns: tuple[Column, ...], data: DataSettings, processing: ProcessingSettings
) -> dict[str, str]:
    """Return why each column that the config excludes is no feature; raises ConfigError for unknown names."""
    known = [column.name for column in columns]
    listed = None if processing.features == "auto" else processing.features
    _known(processing.as_category, known, "processing.as_category")
    _known(listed or (), known, "processing.features")
    check_rules(known, processing)
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


def named_together(
    names: Iterable[str],
    where: str,
    columns: tuple[Column, ...],
    data: DataSettings,
    processing: ProcessingSettings,
) -> tuple[Column, ...]:
    """Return the columns that a cross or a custom step names; raises ConfigError for one it may not use."""
    by_name = {column.name: column for column in columns}
    forbidden = _declared(data, processing)
    _known(names, list(by_name), where)
    for name in names:
        if name in forbidden:
            raise ConfigError(f"{where} must not name {name!r}, which {forbidden[name]}.")
    return tuple(by_name[name] for name in names)


def _declared(data: DataSettings, processing: ProcessingSettings) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if data.time is not None and not processing.use_time:
        reasons[data.time] = "is the event time (processing.use_time makes it a feature)"
    reasons |= dict.fromkeys(data.drop, "is listed in data.drop")
    reasons |= dict.fromkeys(label_inputs(data), "is an input of the label's expression")
    return reasons | {data.label_name: "is the label"}


def useless(profile: ColumnProfile, settings: KindStep, processing: ProcessingSettings) -> str | None:
    """Return why nothing can be learned from a column; a listed one is refused only if it has no value."""
    n_present = profile.n_rows - profile.n_missing
    if n_present - profile.n_infinite == 0:
        return "has no value in the training rows"
    if processing.features != "auto":
        return None
    n_finite = n_present - profile.n_infinite
    if n_finite == profile.n_rows and _has_one_value(profile):
        return "has only one value in the training rows"
    own_features = isinstance(settings, CategoricalStep) and settings.encode == "onehot"
    is_text = profile.column.kind == "category" and own_features
    if is_text and n_present >= IDENTIFIER_MIN_ROWS and profile.n_distinct > IDENTIFIER_RATIO * n_present:
        return f"names rows: {profile.n_distinct} distinct texts in {n_present} rows"
    return None


def _has_one_value(profile: ColumnProfile) -> bool:
    return profile.n_distinct == 1 if profile.column.kind == "category" else profile.min == profile.max


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
