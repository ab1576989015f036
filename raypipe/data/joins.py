"""Columns of lookups beside each row: by key, and by time so that no row sees what came after it.

What is added to a row depends on that row and on the lookup alone: not on the order of the rows, not on how
they are cut into blocks, and, where a lookup is joined `as_of`, on none of its rows that is later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
import pyarrow as pa

from raypipe.core.errors import ConfigError, DataError, SchemaError
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.config import DataSettings
from raypipe.data.event_time import TIME_TYPE, as_times
from raypipe.data.expressions import evaluate
from raypipe.data.names import suggest
from raypipe.data.sources.config import AsOfSettings, JoinSettings
from raypipe.data.sources.source import RESERVED

_AT, _ROW, _TIME = "_at", "_row", "_time"
_NUMBERS = (pl.Int64(), pl.Float64())


@dataclass(frozen=True)
class Lookup:
    """A source that is joined: `keys` has a row for each key (and time), `_at` says which row of `added`."""

    name: str
    join: JoinSettings
    keys: pl.DataFrame
    added: pa.Table


def as_lookup(name: str, join: JoinSettings, rows: pa.Table) -> Lookup:
    """Return rows in canonical types as a lookup; raises ConfigError and DataError, which name the source.

    Rows whose key or time is missing match nothing.
    """
    keys = _without_nan(_lookup_keys(name, join, rows).drop_nulls())
    by = keys.columns[1:]
    if join.duplicates == "error":
        _check_distinct(name, join, keys, by)
    keys = keys.unique(by, keep="last", maintain_order=True)
    return Lookup(name, join, keys.sort(_TIME) if join.as_of else keys, _added(name, join, rows))


def join_lookups(
    rows: pa.Table, lookups: Sequence[Lookup], settings: DataSettings, progress: Progress = silent
) -> pa.Table:
    """Return the rows, in their order, with the columns of the lookups behind theirs.

    Lookups are joined one after the other: a later one may be joined on what an earlier one added. Where
    nothing matches, the added columns are null. Raises ConfigError and SchemaError.
    """
    for lookup in lookups:
        at = _matches(rows, lookup, settings.time)
        progress(Step("collect", f"{lookup.name}: {at.null_count:,} of {rows.num_rows:,} rows match nothing"))
        rows = _beside(rows, lookup, at)
    return rows


def _lookup_keys(name: str, join: JoinSettings, rows: pa.Table) -> pl.DataFrame:
    names = [theirs for _, theirs in join.pairs]
    frame = _keys(rows, names, _AT, f"{name}.join.by", "the lookup")
    if join.as_of is None:
        return frame
    column = join.as_of.time
    _check_columns(rows, [column], f"{name}.join.as_of.time", "the lookup")
    shift = timedelta(seconds=join.as_of.available_after_s)
    return frame.with_columns((as_times(_series(rows, column)) + shift).alias(_TIME))


def _keys(rows: pa.Table, names: Sequence[str], index: str, key: str, whose: str) -> pl.DataFrame:
    """Return the rows' numbers, then columns named by number, so that no name of theirs meets one of ours."""
    _check_columns(rows, names, key, whose)
    columns = [_series(rows, name).alias(str(n)) for n, name in enumerate(names)]
    return pl.DataFrame([pl.Series(index, np.arange(rows.num_rows), pl.Int64), *columns])


def _series(rows: pa.Table, name: str) -> pl.Series:
    return pl.Series(name, pl.from_arrow(rows[name]))


def _check_columns(rows: pa.Table, names: Sequence[str], key: str, whose: str) -> None:
    for name in names:
        if name not in rows.column_names:
            raise ConfigError(
                f"data.sources: {key} names {name!r}, which is no column of {whose}; "
                f"{suggest(name, rows.column_names)}"
            )


def _without_nan(keys: pl.DataFrame) -> pl.DataFrame:
    numbers = [name for name, type in keys.schema.items() if type.is_float()]
    return keys.filter(pl.all_horizontal(pl.col(numbers).is_not_nan())) if numbers else keys


def _check_distinct(name: str, join: JoinSettings, keys: pl.DataFrame, by: Sequence[str]) -> None:
    counts = keys.group_by(by, maintain_order=True).agg(pl.len().alias("n"))
    twice = counts.filter(pl.col("n") > 1)
    if twice.height:
        *values, n_rows = twice.row(0)
        names = [theirs for _, theirs in join.pairs] + ([join.as_of.time] if join.as_of else [])
        first = ", ".join(f"{column} {value}" for column, value in zip(names, values, strict=True))
        raise DataError(
            f"source {name} must have one row a key, to be joined. Got {n_rows:,} rows for {first}, and "
            f"{twice.height:,} such keys in all; remove them, or let the last one count with "
            "`join: {duplicates: last}`."
        )


def _added(name: str, join: JoinSettings, rows: pa.Table) -> pa.Table:
    """Return the columns that are added, under the names that they get."""
    keys = {theirs for _, theirs in join.pairs} | ({join.as_of.time} if join.as_of else set())
    names = join.columns or [column for column in rows.column_names if column not in keys]
    _check_columns(rows, names, f"{name}.join.columns", "the lookup")
    prefix = join.prefix_of(name)
    return rows.select(names).rename_columns([f"{prefix}{column}" for column in names])


def _beside(rows: pa.Table, lookup: Lookup, at: pa.Array) -> pa.Table:
    taken = {name.casefold() for name in (*rows.column_names, *RESERVED)}
    for name in lookup.added.column_names:
        if name.casefold() in taken:
            raise ConfigError(
                f"source {lookup.name} would add the column {name!r}, which the rows have already; set "
                "another `join.prefix`, or leave it out of `join.columns`."
            )
    for name, column in zip(lookup.added.column_names, lookup.added.take(at).columns, strict=True):
        rows = rows.append_column(name, column)
    return rows


def _matches(rows: pa.Table, lookup: Lookup, time: str | None) -> pa.Array:
    """Return for each row which row of the lookup is added to it, or null."""
    join = lookup.join
    left = _keys(rows, [ours for ours, _ in join.pairs], _ROW, f"{lookup.name}.join.by", "the rows")
    left, right = _alike(left, lookup)
    by = left.columns[1:]
    if join.as_of is None:
        return left.join(right, on=by, how="left", maintain_order="left")[_AT].to_arrow()
    times = _row_times(rows, lookup.name, join.as_of, time)
    timed = left.with_columns(times.alias(_TIME)).drop_nulls(_TIME).sort(_TIME)
    return _scattered(_as_of(timed, right, by, join.as_of), rows.num_rows)


def _as_of(left: pl.DataFrame, right: pl.DataFrame, by: Sequence[str], as_of: AsOfSettings) -> pl.DataFrame:
    oldest = as_of.tolerance_s
    return left.join_asof(
        right,
        on=_TIME,
        by=list(by) or None,
        strategy="backward",
        tolerance=None if oldest is None else timedelta(seconds=oldest - as_of.available_after_s),
        check_sortedness=False,
    )


def _scattered(found: pl.DataFrame, n_rows: int) -> pa.Array:
    matched = found.drop_nulls(_AT)
    at = np.full(n_rows, -1, dtype=np.int64)
    at[matched[_ROW].to_numpy()] = matched[_AT].to_numpy()
    return pa.array(at, mask=at < 0)


def _alike(left: pl.DataFrame, lookup: Lookup) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return both sides' keys in the same types: an integer on one side may equal a number on the other."""
    right = lookup.keys
    for key, (name, theirs) in zip(left.columns[1:], lookup.join.pairs, strict=True):
        ours, other = left.schema[key], right.schema[key]
        if pl.Null() in (ours, other):
            # A column without any value: nothing matches it.
            left = left.with_columns(pl.col(key).cast(other))
            right = right.with_columns(pl.col(key).cast(other if ours == pl.Null() else ours))
        elif ours in _NUMBERS and other in _NUMBERS and ours != other:
            left = left.with_columns(pl.col(key).cast(pl.Float64))
            right = right.with_columns(pl.col(key).cast(pl.Float64))
        elif ours != other:
            raise SchemaError(
                f"source {lookup.name} joins {name!r}, which is {ours} in the rows, on {theirs!r}, which is "
                f"{other} in the lookup; give both one kind, as with `data.contract.columns.{name}.kind`."
            )
    return left, right


def _row_times(rows: pa.Table, name: str, as_of: AsOfSettings, time: str | None) -> pl.Series:
    key = f"data.sources: {name}.join.as_of.row_time"
    expression = as_of.row_time or time
    if expression is None:
        raise ConfigError(f"{key} must say when a row is, as there is no `data.time`. Got none.")
    if expression in rows.column_names:
        values = _series(rows, expression)
    else:
        values = evaluate(pl.DataFrame(pl.from_arrow(rows)), key, expression)
    return _in_utc(as_times(values.alias(expression)), as_of.row_time_zone)


def _in_utc(times: pl.Series, zone: str | None) -> pl.Series:
    """Return local times in UTC: of an hour that comes twice the first one, as that sees less."""
    if zone is None:
        return times
    local = times.dt.replace_time_zone(None)
    return local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").cast(TIME_TYPE)
