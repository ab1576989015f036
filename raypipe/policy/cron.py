"""Cron: when a schedule of five fields comes round next, in UTC.

Fields are minute (0-59), hour (0-23), day of month (1-31), month (1-12 or jan-dec) and weekday (0-7 or
sun-sat, both 0 and 7 are Sunday). Each is `*`, or a list of values and ranges, with a step after `/`. As in
Vixie cron, where neither day field starts with `*`, a day that fits either of them is enough.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from itertools import islice

N_MONTHS = 12 * 8 + 2
"""29 February may be eight years away, over a year such as 2100."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class CronError(ValueError):
    """A schedule that is not five cron fields."""


@dataclass(frozen=True)
class Cron:
    """A parsed schedule."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either_day: bool
    """Whether a fitting day of month or a fitting weekday is enough."""

    def fits(self, day: date) -> bool:
        """Return whether the schedule has times on a day."""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        in_days = in_month or in_week if self.either_day else in_month and in_week
        return in_days and day.month in self.months

    def times(self) -> Iterator[time]:
        """Yield the times of a fitting day, in order."""
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                yield time(hour, minute, tzinfo=UTC)


@lru_cache(maxsize=256)
def next_time(schedule: str, after: datetime) -> datetime | None:
    """Return the first time strictly after `after` (aware), in UTC; None where no day ever fits.

    Raises CronError for a schedule that cannot be read.

    >>> next_time("30 3 * * mon", datetime(2026, 1, 1, tzinfo=UTC))
    datetime.datetime(2026, 1, 5, 3, 30, tzinfo=datetime.timezone.utc)
    """
    cron = parse_cron(schedule)
    start = after.astimezone(UTC)
    for day in _days(cron, start.date()):
        for moment in cron.times():
            found = datetime.combine(day, moment)
            if found > start:
                return found
    return None


@lru_cache(maxsize=64)
def parse_cron(schedule: str) -> Cron:
    """Parse five fields; raises CronError, whose text names the field, the rule and the value."""
    fields = schedule.lower().split()
    if len(fields) != 5:
        raise CronError(
            "a schedule must have the five fields minute, hour, day, month and weekday, such as "
            f"'30 3 * * mon'. Got {schedule!r}"
        )
    minute, hour, day, month, weekday = fields
    return Cron(
        minutes=_field("minute", minute, 0, 59),
        hours=_field("hour", hour, 0, 23),
        days=_field("day", day, 1, 31),
        months=_field("month", month, 1, 12, _MONTHS),
        weekdays=frozenset(value % 7 for value in _field("weekday", weekday, 0, 7, _DAYS)),
        either_day=not (day.startswith("*") or weekday.startswith("*")),
    )


def _days(cron: Cron, start: date) -> Iterator[date]:
    """Yield the fitting days from `start` on, passing over whole months that do not fit."""
    for year, month in islice(_months(start), N_MONTHS):
        if month in cron.months:
            first = start.day if (year, month) == (start.year, start.month) else 1
            days = (date(year, month, day) for day in range(first, monthrange(year, month)[1] + 1))
            yield from filter(cron.fits, days)


def _months(start: date) -> Iterator[tuple[int, int]]:
    year, month = start.year, start.month
    while year <= date.max.year:
        yield year, month
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def _field(name: str, text: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, last = _span(name, span, low, high, names)
        if slash and span != "*" and "-" not in span:
            last = high
        values.update(range(first, last + 1, _step(name, step) if slash else 1))
    return frozenset(values)


def _span(name: str, text: str, low: int, high: int, names: tuple[str, ...]) -> tuple[int, int]:
    if text == "*":
        # A Sunday is both 0 and 7, and a step over all weekdays must not count it twice.
        return low, 6 if names == _DAYS else high
    first, dash, last = text.partition("-")
    ends = _value(name, first, low, high, names), _value(name, last if dash else first, low, high, names)
    if ends[0] > ends[1]:
        raise CronError(f"the {name} of a schedule must not run backwards. Got {text!r}")
    return ends


def _value(name: str, text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + low
    if text.isdecimal() and text.isascii() and low <= int(text) <= high:
        return int(text)
    or_name = f" or {names[0]}-{names[-1]}" if names else ""
    raise CronError(f"the {name} of a schedule must be {low}-{high}{or_name}. Got {text!r}")


def _step(name: str, text: str) -> int:
    if text.isdecimal() and text.isascii() and int(text) > 0:
        return int(text)
    raise CronError(f"the step of the {name} of a schedule must be a number from 1 on. Got {text!r}")
