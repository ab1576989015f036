"""Times as microseconds in UTC, from timestamps, dates or ISO 8601 text."""

from __future__ import annotations

import polars as pl

from raypipe.core.errors import SchemaError

TIME_TYPE = pl.Datetime("us", "UTC")
_ISO = (
    r"^\s*(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:[.,]\d+)?)?\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?)?\s*$"
)


def parse_times(texts: pl.Series) -> pl.Series:
    """Read ISO 8601 dates and times, null for anything else; what names no zone is UTC."""
    parts = (
        texts.to_frame("text").select(pl.col("text").str.extract_groups(_ISO).alias("part")).unnest("part")
    )
    date, minute, second, zone = (pl.col(name) for name in parts.columns)
    spelled = (
        date
        + "T"
        + minute.fill_null("00:00")
        + second.fill_null(":00").str.replace(",", ".", literal=True)
        + _zone(zone)
    )
    times = spelled.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    return parts.select(times.alias(texts.name)).to_series()


def _zone(zone: pl.Expr) -> pl.Expr:
    padded = zone.str.replace(r"^([+-]\d{2})$", "$1:00").str.replace(r"^([+-]\d{2})(\d{2})$", "$1:$2")
    return padded.str.to_uppercase().fill_null("Z")


def as_times(column: pl.Series) -> pl.Series:
    """Return a column as event times; raises SchemaError for a column that holds no times."""
    if isinstance(column.dtype, pl.Datetime):
        return column.cast(TIME_TYPE)
    if column.dtype == pl.String:
        return _from_text(column)
    if column.dtype == pl.Null:
        return column.cast(TIME_TYPE)
    raise SchemaError(
        f"`time` must name a column of timestamps, dates or ISO 8601 text. Got {column.name!r} with values "
        f"such as {_example(column)}: write its times into the files as timestamps, or leave `time` out."
    )


def _from_text(column: pl.Series) -> pl.Series:
    times = parse_times(column)
    if times.null_count() == len(times) > column.null_count():
        raise SchemaError(
            f"`time` must name a column of timestamps, dates or ISO 8601 text such as 2026-01-31T12:00:00Z. "
            f"Got {column.name!r} with values such as {_example(column)}."
        )
    return times


def _example(column: pl.Series) -> str:
    present = column.drop_nulls()
    return repr(present[0]) if len(present) else "null"
