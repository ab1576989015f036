"""How numbers, shares, sizes and moments are spelled on the page."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from raypipe.data.explore.markup import visible
from raypipe.data.schema import ColumnKind

NOTHING = "-"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_EXACT_BELOW = 1e15
_GROUPED_FROM = 10_000
"""Smaller whole numbers may be years or codes."""


def amount(value: float | None, kind: ColumnKind) -> str:
    """Spell a value, an end or a mean of a column's numbers."""
    if value is None:
        return NOTHING
    if kind == "timestamp":
        return moment(value)
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < _EXACT_BELOW:
        return whole(int(value))
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}" if abs(value) < 1e7 else f"{value:.4g}"


def value(found: str | float, kind: ColumnKind) -> str:
    """Spell a value that is counted; every one tells itself apart from its neighbours."""
    if isinstance(found, str):
        return visible(found)
    if kind == "boolean":
        return "true" if found else "false"
    if kind == "timestamp":
        return moment(found, exactly=True)
    if found == int(found) and abs(found) < _EXACT_BELOW:
        return whole(int(found))
    return f"{found:,.10g}"


def whole(number: int) -> str:
    """Spell a whole number of the data."""
    return f"{number:,}" if abs(number) >= _GROUPED_FROM else str(number)


def moment(microseconds: float, *, exactly: bool = False) -> str:
    """Spell a moment in UTC, by default to the minute."""
    try:
        at = _EPOCH + timedelta(microseconds=int(microseconds))
    except OverflowError:
        return f"{microseconds:.6g} µs"
    text = at.strftime("%Y-%m-%d %H:%M:%S.%f" if exactly and at.microsecond else "%Y-%m-%d %H:%M:%S")
    midnight = text.endswith("00:00:00")
    return text[:10] if midnight else text if exactly else text[:16]


def share(part: float, whole: float) -> str:
    """Spell a share in percent, so that neither a few nor all but a few look like none or all."""
    if whole <= 0:
        return NOTHING
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1%"
    if 99.9 < percent < 100:
        return "> 99.9%"
    return f"{percent:.1f}%".replace(".0%", "%")


def size(n_bytes: int) -> str:
    """Spell a size, a dash where it is not known."""
    if not n_bytes:
        return NOTHING
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if n_bytes >= scale), (1, "B"))
    return f"{n_bytes / scale:.3g} {unit}"
