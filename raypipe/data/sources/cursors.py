"""Values of a cursor column: kept as JSON, and moved back by a lag."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from raypipe.core.errors import ConfigError, SourceError
from raypipe.core.ids import Json

Cursor: TypeAlias = int | float | str | datetime | date


def to_json(value: Cursor) -> Json:
    """Return a cursor's value as JSON that `from_json` reads back."""
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    return {"date": value.isoformat()} if isinstance(value, date) else value


def from_json(value: Json) -> Cursor:
    """Read what `to_json` wrote; raises SourceError for anything else."""
    match value:
        case {"time": str(text)}:
            return datetime.fromisoformat(text)
        case {"date": str(text)}:
            return date.fromisoformat(text)
        case int() | float() | str():
            return value
        case _:
            raise SourceError(f"a cursor must stand at a number, a time or a text. Got {value!r}.")


def checked(value: object, source: str) -> Cursor:
    """Return what a database gave as a cursor's value; raises SourceError for what cannot be one."""
    if isinstance(value, Decimal) and value == int(value):
        return int(value)
    if isinstance(value, int | float | str | date) and not isinstance(value, bool):
        return value
    raise SourceError(
        f"the cursor of source {source} must be a number, a time or a text. Got {type(value).__name__}."
    )


def behind(value: Cursor, lag: float, source: str) -> Cursor:
    """Return the value that is `lag` before another: seconds for times, units for numbers."""
    if not lag:
        return value
    if isinstance(value, datetime):
        return value - timedelta(seconds=lag)
    if isinstance(value, int | float):
        return value - lag
    raise ConfigError(
        f"lag of source {source} holds back times and numbers. Got a cursor of type {type(value).__name__}."
    )
