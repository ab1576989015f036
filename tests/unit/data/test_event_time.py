from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import SchemaError
from raypipe.data.event_time import as_times, parse_times


@pytest.mark.parametrize(
    ("text", "hour", "minute"),
    [
        ("2026-01-02", 0, 0),
        ("2026-01-02 03:04", 3, 4),
        ("2026-01-02T03:04:05", 3, 4),
        ("2026-01-02T03:04:05.25Z", 3, 4),
        ("2026-01-02T03:04:05,250z", 3, 4),
        ("2026-01-02 03:04:05 +01:00", 2, 4),
        ("2026-01-02T03:04:05-0230", 5, 34),
        (" 2026-01-02T03:04:05+02 ", 1, 4),
    ],
)
def test_iso_8601_is_read_and_no_zone_is_utc(text: str, hour: int, minute: int) -> None:
    time = parse_times(pl.Series([text]))[0]
    assert (time.date().isoformat(), time.hour, time.minute) == ("2026-01-02", hour, minute)


@pytest.mark.parametrize("text", ["", "x", "2026-13-02", "02.01.2026", "1700000000", "2026-01-02T25:00"])
def test_anything_else_is_null(text: str) -> None:
    assert parse_times(pl.Series([text])).to_list() == [None]


@given(
    st.datetimes(
        min_value=datetime(1900, 1, 1),
        max_value=datetime(2200, 1, 1),
        timezones=st.integers(-12 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_what_python_writes_is_read(time: datetime) -> None:
    assert parse_times(pl.Series([time.isoformat()]))[0] == time.astimezone(UTC)


def test_integers_are_refused_with_what_to_do() -> None:
    with pytest.raises(SchemaError, match=r"'t' with values such as 17: write its times into the files"):
        as_times(pl.Series("t", [None, 17]))


def test_text_without_any_time_is_refused_but_some_is_null() -> None:
    with pytest.raises(SchemaError, match=r"such as 'monday'"):
        as_times(pl.Series("t", ["monday", None]))
    assert as_times(pl.Series("t", ["monday", "2026-01-02"])).null_count() == 1


def test_a_column_without_values_has_no_times() -> None:
    assert as_times(pl.Series("t", [None, None], dtype=pl.String)).null_count() == 2
