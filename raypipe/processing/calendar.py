"""Calendar parts of a moment as numbers: tables, so that every path gives the same bits.

A moment in UTC has three positions: the minute of its day, its weekday, and its day in the year. Each
position looks up a row of features; the last row of each table is for a missing moment and holds zeros.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

Part = Literal["year", "month", "day", "weekday", "hour", "minute"]
Position = Literal["clock", "weekday", "yearday"]
POSITIONS: tuple[Position, ...] = ("clock", "weekday", "yearday")

DAYS_BEFORE = tuple(sum(calendar.monthrange(2000, m)[1] for m in range(1, month)) for month in range(1, 13))
"""Days before each month, January first, in a year of 366 days: the 1st of March is always day 60."""

_SIZES: dict[Position, int] = {"clock": 24 * 60, "weekday": 7, "yearday": 366}
_MONTH_DAY = tuple((m, d) for m in range(1, 13) for d in range(1, calendar.monthrange(2000, m)[1] + 1))

FEATURES: dict[Position, dict[str, Callable[[int], float]]] = {
    "clock": {
        "hour": lambda minute: _spread(minute // 60, 0, 23),
        "minute": lambda minute: _spread(minute % 60, 0, 59),
        "hour_sin": lambda minute: _sine(minute, 24 * 60),
        "hour_cos": lambda minute: _cosine(minute, 24 * 60),
    },
    "weekday": {
        "weekday": lambda day: _spread(day, 0, 6),
        "weekday_sin": lambda day: _sine(day, 7),
        "weekday_cos": lambda day: _cosine(day, 7),
    },
    "yearday": {
        "month": lambda day: _spread(_MONTH_DAY[day][0], 1, 12),
        "day": lambda day: _spread(_MONTH_DAY[day][1], 1, 31),
        "yearday_sin": lambda day: _sine(day, 366),
        "yearday_cos": lambda day: _cosine(day, 366),
    },
}
"""What each position can say: parts spread over [-1, 1], and both coordinates on its circle."""


def position_table(position: Position, features: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Return float32 of shape (positions + 1, features); the last row is that of a missing moment."""
    formulas = [FEATURES[position][feature] for feature in features]
    rows = [[formula(place) for formula in formulas] for place in range(_SIZES[position])]
    return np.array([*rows, [0.0] * len(features)], np.float32)


def _spread(value: int, low: int, high: int) -> float:
    return 2 * (value - low) / (high - low) - 1


def _sine(place: int, n_places: int) -> float:
    # Nine digits: more than float32 holds, less than the last bit in which libraries of mathematics differ.
    return round(math.sin(2 * math.pi * place / n_places), 9) + 0.0


def _cosine(place: int, n_places: int) -> float:
    return round(math.cos(2 * math.pi * place / n_places), 9) + 0.0
