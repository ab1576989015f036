"""Values of tables as JSON: what is missing is null, times are ISO 8601, numbers keep their value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from uuid import UUID

import msgspec

from raypipe.core.errors import DataError

_NO_NUMBER = msgspec.Raw(b"1e999")
"""An infinite number as the endpoint reads it: an error of its row, and of no other."""
_MISSING = frozenset({"NAType", "NaTType"})


def cell(value: object) -> object:
    """Return a value as msgspec writes it to JSON; raises DataError for one that has no place there.

    None, NaN, pandas' NaT and NA are None. Times are texts of ISO 8601, scalars of numpy plain values.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else msgspec.Raw(str(value).encode())
    if type(value).__name__ in _MISSING:
        return None
    return _rare(value)


def _rare(value: object) -> object:
    if type(value).__module__ == "numpy":
        return _of_numpy(value)
    match value:
        case date() | time():
            return value.isoformat()
        case Decimal():
            return _decimal(value)
        case UUID():
            return str(value)
        case Mapping():
            return {str(key): cell(inner) for key, inner in value.items()}
        case list() | tuple():
            return [cell(inner) for inner in value]
        case _:
            raise DataError(
                f"a value must be a number, text, true or false, a date, a time or None. Got {value!r:.60}."
            )


def _float(value: float) -> object:
    if value != value:
        return None
    return value if abs(value) != float("inf") else _NO_NUMBER


def _decimal(value: Decimal) -> object:
    if not value.is_finite():
        return None if value.is_nan() else _NO_NUMBER
    return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else _float(float(value))


def _of_numpy(value: object) -> object:
    if type(value).__name__ in ("datetime64", "timedelta64"):
        text = str(value)
        return None if text == "NaT" else text
    plain = getattr(value, "tolist", lambda: value)()
    if type(plain) is type(value):
        raise DataError(f"a value must be of a plain type. Got {value!r:.60}.")
    return cell(plain)
