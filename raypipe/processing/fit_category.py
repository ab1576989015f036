"""Fitting the step of a category column from its profile."""

from __future__ import annotations

import math

from raypipe.core.errors import ConfigError, DataError
from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.column_settings import CategoricalStep
from raypipe.processing.report import StepFit
from raypipe.processing.steps.category import FittedCategory, FittedOrdinal
from raypipe.processing.steps.hashed import FittedHash, FittedText


def fit_category(profile: ColumnProfile, column: Column, settings: CategoricalStep) -> StepFit:
    """Return the step for a text, integer-code or boolean column; not for `encode: target`.

    Raises ConfigError where the settings do not suit the column, DataError for too many distinct values.
    """
    missing = settings.indicator and profile.n_nulls > 0
    match settings.encode:
        case "ordinal":
            return _ordinal(profile, column, settings, missing=missing)
        case "hash":
            step = FittedHash(column, settings.n_features, missing, _fill(profile, column, settings))
            reason = f"a category: {settings.n_features} features by hash"
            return StepFit(step, reason, _changed(profile, settings))
        case "text":
            return _text(column, settings, missing=missing)
        case _:
            return _onehot(profile, column, settings, missing=missing)


def _onehot(profile: ColumnProfile, column: Column, settings: CategoricalStep, *, missing: bool) -> StepFit:
    least = _min_count(column, settings)
    top = profile.values.top(settings.max_categories)
    kept = {value_text(value, column): count for value, count in top if count >= least}
    n_rare = profile.n_rows - profile.n_nulls - sum(kept.values())
    if not kept and not missing and not settings.frequency:
        return StepFit(None, _nothing_frequent(least))
    frequencies = None
    if settings.frequency:
        items = profile.values.sorted_items()
        frequencies = tuple((value_text(value, column), math.log1p(count)) for value, count in items)
    fill = _fill(profile, column, settings)
    step = FittedCategory(column, tuple(kept), n_rare > 0, missing, frequencies, fill)
    sample = "" if profile.values.is_exact else " of a sample of its values"
    reason = f"a category: {len(kept)} frequent values{sample}" + ", rare ones together" * (n_rare > 0)
    return StepFit(step, reason, {**_changed(profile, settings), "rare": n_rare})


def _ordinal(profile: ColumnProfile, column: Column, settings: CategoricalStep, *, missing: bool) -> StepFit:
    values = _in_order(profile, column, settings)
    if not values and not missing:
        return StepFit(None, _nothing_frequent(_min_count(column, settings)))
    known = {value_text(value, column): count for value, count in profile.values.sorted_items()}
    n_rare = profile.n_rows - profile.n_nulls - sum(known.get(value, 0) for value in values)
    step = FittedOrdinal(column, values, missing, _fill(profile, column, settings))
    reason = f"a category: the places of {len(values)} values" + (", 0 for rare ones" if n_rare else "")
    return StepFit(step, reason, {**_changed(profile, settings), "rare": n_rare})


def _in_order(profile: ColumnProfile, column: Column, settings: CategoricalStep) -> tuple[str, ...]:
    if not isinstance(settings.order, str):
        return tuple(dict.fromkeys(_listed(value, column) for value in settings.order))
    exact_counts(profile, "ordinal")
    least = _min_count(column, settings)
    items = profile.values.sorted_items()
    if settings.order == "frequency":
        items = sorted(items, key=lambda pair: -pair[1])
    return tuple(value_text(value, column) for value, count in items if count >= least)


def _listed(value: str, column: Column) -> str:
    """Return a value that the config lists as the text that it counts as."""
    if column.kind == "integer":
        try:
            return str(int(value))
        except ValueError:
            raise ConfigError(
                f"order must list whole numbers for {column.name!r}, whose values are. Got {value!r}."
            ) from None
    return value


def _text(column: Column, settings: CategoricalStep, *, missing: bool) -> StepFit:
    if column.kind != "category":
        raise ConfigError(f"encode text must be for text. Got {column.name!r}, of kind {column.kind}.")
    step = FittedText(column, settings.n_features, settings.ngrams, missing)
    low, high = settings.ngrams
    of = "words" if high == 1 else f"{low} to {high} neighbouring words"
    return StepFit(step, f"a text: {settings.n_features} features by hash of {of}")


def _fill(profile: ColumnProfile, column: Column, settings: CategoricalStep) -> str | None:
    match settings.impute:
        case "none":
            return None
        case "constant":
            return _listed(settings.value, column)
        case "mode":
            return value_text(profile.values.top(1)[0][0], column)


def exact_counts(profile: ColumnProfile, encode: str) -> None:
    """Raise DataError where a column has too many distinct values for a line for each."""
    if not profile.values.is_exact:
        raise DataError(
            f"encode {encode} needs at most {profile.values.bound:,} distinct values. Got about "
            f"{profile.n_distinct:,} in {profile.name!r}; encode it by hash."
        )


def value_text(value: str | int | float, column: Column) -> str:
    """Return a counted value as text: integers in decimal, booleans as `true` and `false`."""
    if column.kind == "boolean":
        return "true" if value else "false"
    return str(value)


def _min_count(column: Column, settings: CategoricalStep) -> int:
    # A boolean has two values: none of them is rare.
    return 1 if column.kind == "boolean" else settings.min_count


def _changed(profile: ColumnProfile, settings: CategoricalStep) -> dict[str, int]:
    return {"filled": profile.n_nulls} if settings.impute != "none" else {}


def _nothing_frequent(least: int) -> str:
    return f"has no value that occurs {least} times in the training rows"
