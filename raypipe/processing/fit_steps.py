"""Fitting the step of one column from its profile."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.calendar import FEATURES
from raypipe.processing.config import CategoricalStep, DateStep, NumericStep, ProcessingSettings
from raypipe.processing.steps import FittedCategory, FittedDate, FittedNumber, FittedStep

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


def fit_step(
    profile: ColumnProfile, column: Column, processing: ProcessingSettings
) -> tuple[FittedStep | None, str]:
    """Return the step for a column with finite values and what it does, or none and why not."""
    column = replace(column, nullable=column.nullable or profile.n_missing > 0)
    if column.kind == "timestamp":
        return _date(profile, column, processing.date)
    if column.kind in ("category", "boolean") or column.name in processing.as_category:
        return _category(profile, column, processing.categorical)
    return _number(profile, column, processing.numeric)


def _number(profile: ColumnProfile, column: Column, settings: NumericStep) -> tuple[FittedNumber, str]:
    low, high, mean = profile.min, profile.max, profile.mean
    assert low is not None and high is not None and mean is not None
    median = profile.quantile(0.5)
    fill = {"median": median, "mean": mean, "zero": 0.0}[settings.impute]
    assert fill is not None
    scaled = settings.scale == "standard"
    step = FittedNumber(
        column,
        fill=fill,
        low=low,
        high=high,
        centre=mean if scaled else 0.0,
        reciprocal=_reciprocal_of_std(profile) if scaled else 1.0,
        indicator=settings.indicator and profile.n_missing > 0,
    )
    parts = [f"missing values become {fill:g} ({settings.impute})", *["scaled"] * scaled]
    return step, "a number: " + ", ".join([*parts, *["missing values marked"] * step.indicator])


def _reciprocal_of_std(profile: ColumnProfile) -> float:
    """Return 1/std; 1 for a constant, 1/max(abs) where the squares pass float64."""
    variance, low, high = profile.variance, profile.min, profile.max
    assert variance is not None and low is not None and high is not None
    std = max(abs(low), abs(high)) if math.isinf(variance) else math.sqrt(variance)
    reciprocal = 1 / std if std > 0 else 1.0
    return reciprocal if math.isfinite(reciprocal) else 1.0


def _category(
    profile: ColumnProfile, column: Column, settings: CategoricalStep
) -> tuple[FittedCategory | None, str]:
    # A boolean has two values: none of them is rare.
    least = 1 if column.kind == "boolean" else settings.min_count
    top = profile.values.top(settings.max_categories)
    kept = {_text(value, column): count for value, count in top if count >= least}
    n_present = profile.n_rows - profile.n_nulls
    rare, missing = sum(kept.values()) < n_present, profile.n_nulls > 0
    if not kept and not missing and not settings.frequency:
        return None, f"has no value that occurs {least} times in the training rows"
    frequencies = None
    if settings.frequency:
        items = profile.values.sorted_items()
        frequencies = tuple((_text(value, column), math.log1p(count)) for value, count in items)
    step = FittedCategory(column, tuple(kept), rare, missing, frequencies)
    sample = "" if profile.values.is_exact else " of a sample of its values"
    return step, f"a category: {len(kept)} frequent values{sample}" + ", rare ones together" * rare


def _text(value: str | int | float, column: Column) -> str:
    if column.kind == "boolean":
        return "true" if value else "false"
    return str(value)


def _date(profile: ColumnProfile, column: Column, settings: DateStep) -> tuple[FittedDate | None, str]:
    varying = _varying(profile)
    wanted: set[str] = {part for part in settings.parts if part in varying}
    if settings.cycles:
        circles = {"hour": "hour", "weekday": "weekday", "yearday": "day"}
        chosen = [circle for circle, part in circles.items() if part in varying]
        wanted |= {f"{circle}_{axis}" for circle in chosen for axis in ("sin", "cos")}
    features = tuple(name for names in FEATURES.values() for name in names if name in wanted)
    first, last = _ends(profile)
    years = (first.year, last.year) if "year" in wanted else None
    step = FittedDate(column, features, years, missing=profile.n_nulls > 0)
    if not step.feature_names:
        return None, "has no calendar part that varies in the training rows"
    return step, "a date: calendar parts in UTC"


def _varying(profile: ColumnProfile) -> set[str]:
    """Return the calendar parts that can differ between training rows."""
    first, last = _ends(profile)
    parts = {
        "year": first.year != last.year,
        "month": (first.year, first.month) != (last.year, last.month),
        "day": first.date() != last.date(),
        "weekday": first.date() != last.date(),
        "hour": profile.step % _DAY_US != 0,
        "minute": profile.step % _HOUR_US != 0,
    }
    return {part for part, varies in parts.items() if varies}


def _ends(profile: ColumnProfile) -> tuple[datetime, datetime]:
    assert profile.min is not None and profile.max is not None
    return _moment(profile.min), _moment(profile.max)


def _moment(microseconds: float) -> datetime:
    """Return the moment, or the first or last one that Python knows."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        limit = datetime.max if microseconds > 0 else datetime.min
        return limit.replace(tzinfo=UTC)
