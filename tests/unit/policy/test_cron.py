"""Cron: when a schedule comes round."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.policy.cron import CronError, next_time, parse_cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-01-01 00:00", "2026-01-01 00:01"),
        ("*/15 * * * *", "2026-01-01 00:14:59", "2026-01-01 00:15"),
        ("5/20 * * * *", "2026-01-01 00:26", "2026-01-01 00:45"),
        ("10-20/5 * * * *", "2026-01-01 00:16", "2026-01-01 00:20"),
        ("0 3 * * *", "2026-01-01 03:00", "2026-01-02 03:00"),
        ("0 3 * * *", "2026-01-01 02:59:59.999999", "2026-01-01 03:00"),
        ("59 23 31 12 *", "2026-12-31 23:59", "2027-12-31 23:59"),
        ("0 0 31 * *", "2026-01-31 00:00", "2026-03-31 00:00"),
        ("0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("0 0 29 feb *", "2097-01-01 00:00", "2104-02-29 00:00"),
        ("0 9 * * mon-fri", "2026-01-02 09:00", "2026-01-05 09:00"),
        ("0 9 * * 7", "2026-01-01 00:00", "2026-01-04 09:00"),
        ("0 9 * * SUN", "2026-01-01 00:00", "2026-01-04 09:00"),
        ("0 9 * * 5-7", "2026-01-03 10:00", "2026-01-04 09:00"),
        ("0,30 8,20 * * *", "2026-01-01 08:30", "2026-01-01 20:00"),
        # Both day fields are given: either is enough. 13 January 2026 is a Tuesday, the 2nd a Friday.
        ("0 0 13 * fri", "2026-01-01 00:00", "2026-01-02 00:00"),
        ("0 0 13 * fri", "2026-01-09 00:00", "2026-01-13 00:00"),
        # One starts with a star: both must fit.
        ("0 0 */2 * fri", "2026-01-01 00:00", "2026-01-09 00:00"),
    ],
)
def test_comes_round(schedule: str, after: str, expected: str) -> None:
    assert next_time(schedule, at(after)) == at(expected)


def test_is_in_utc_whatever_the_zone_asked_in() -> None:
    east = datetime(2026, 1, 1, 3, 30, tzinfo=timezone(timedelta(hours=2)))
    assert next_time("0 2 * * *", east) == at("2026-01-01 02:00")


@pytest.mark.parametrize("schedule", ["0 0 30 2 *", "0 0 31 4,6,9,11 *"])
def test_a_day_that_never_is(schedule: str) -> None:
    assert next_time(schedule, at("2026-01-01")) is None


def test_the_end_of_the_calendar() -> None:
    assert next_time("0 0 1 1 *", at("9999-06-01")) is None


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "weekday"),
        ("* * * * monday", "weekday"),
        ("5-1 * * * *", "backwards"),
        ("*/0 * * * *", "step"),
        ("*/ * * * *", "step"),
        ("1,,2 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("² * * * *", "minute"),
    ],
)
def test_says_which_field_is_wrong(schedule: str, said: str) -> None:
    with pytest.raises(CronError, match=said):
        parse_cron(schedule)


_TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


def _fields() -> st.SearchStrategy[str]:
    def field(low: int, high: int) -> st.SearchStrategy[str]:
        value = st.integers(low, high)
        span = st.tuples(value, value).map(lambda ends: f"{min(ends)}-{max(ends)}")
        return st.one_of(st.just("*"), value.map(str), span, st.integers(1, 40).map(lambda n: f"*/{n}"))

    parts = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7))
    return parts.map(" ".join)


@given(schedule=_fields(), after=_TIMES)
def test_nothing_fits_between_a_time_and_the_next(schedule: str, after: datetime) -> None:
    cron, found = parse_cron(schedule), next_time(schedule, after)
    last = after + timedelta(days=40) if found is None else found
    if found is not None:
        assert found > after
        assert _fits(cron, found)
    minute = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(2_000):
        if minute >= last:
            break
        assert not _fits(cron, minute)
        minute += timedelta(minutes=1)


def _fits(cron: object, moment: datetime) -> bool:
    from raypipe.policy.cron import Cron

    assert isinstance(cron, Cron)
    return cron.fits(moment.date()) and moment.hour in cron.hours and moment.minute in cron.minutes
