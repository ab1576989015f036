from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from raypipe.processing.calendar import DAYS_BEFORE, FEATURES, POSITIONS, position_table


@pytest.mark.parametrize("position", POSITIONS)
def test_tables_end_with_zeros_for_a_missing_moment(position: str) -> None:
    table = position_table(position, tuple(FEATURES[position]))  # type: ignore[index,arg-type]
    assert table.dtype == np.float32
    assert np.array_equal(table[-1], np.zeros(table.shape[1]))
    assert np.abs(table).max() <= 1


def test_hours_and_minutes() -> None:
    table = position_table("clock", ("hour", "minute", "hour_sin", "hour_cos"))
    assert table.shape == (24 * 60 + 1, 4)
    assert table[0].tolist() == [-1, -1, 0, 1]
    assert table[6 * 60].tolist() == [np.float32(-11 / 23), -1, 1, 0]
    assert table[23 * 60 + 59, :2].tolist() == [1, 1]


def test_weekdays() -> None:
    table = position_table("weekday", ("weekday",))
    assert table[:-1, 0].tolist() == [np.float32(2 * day / 6 - 1) for day in range(7)]


def test_days_of_a_leap_year() -> None:
    table = position_table("yearday", ("month", "day", "yearday_sin", "yearday_cos"))
    day = date(2024, 1, 1)
    for place in range(366):
        assert DAYS_BEFORE[day.month - 1] + day.day - 1 == place
        month, day_of_month = table[place, :2].tolist()
        assert month == np.float32(2 * (day.month - 1) / 11 - 1)
        assert day_of_month == np.float32(2 * (day.day - 1) / 30 - 1)
        day += timedelta(days=1)
    circle = table[:-1, 2:].astype(np.float64)
    assert np.allclose((circle**2).sum(axis=1), 1)
    assert len(np.unique(circle, axis=0)) == 366
