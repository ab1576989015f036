"""Fitting the step of a date or timestamp column from its profile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from raypipe.data.profile import ColumnProfile
from raypipe.data.schema import Column
from raypipe.processing.calendar import FEATURES
from raypipe.processing.column_settings import DateStep
from raypipe.processing.report import StepFit
from raypipe.processing.steps.date import FittedDate

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


def fit_date(profile: ColumnProfile, column: Column, settings: DateStep) -> StepFit:
    """Return the step for a column that has moments: of the wanted parts those that vary."""
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
        return StepFit(None, "has no calendar part that varies in the training rows")
    return StepFit(step, "a date: calendar parts in UTC", {"filled": profile.n_nulls})


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
