"""SQL over rows: the label that is computed, and the condition that rows must meet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raypipe.core.errors import ConfigError, LabelError
from raypipe.core.ids import Json
from raypipe.data.config import DataSettings, LabelSettings
from raypipe.data.names import suggest

if TYPE_CHECKING:
    import polars as pl

_OF_MANY_ROWS = frozenset({"Agg", "Over", "Rolling", "Len", "Shift", "Range", "CumSum", "CumCount", "Rank"})
"""What polars calls the parts of an expression that see more than one row."""


def label_inputs(settings: DataSettings) -> tuple[str, ...]:
    """Return the columns that the label is computed from; none where it is a column itself."""
    if isinstance(settings.label, str):
        return ()
    return columns_of_sql("data.label.expression", settings.label.expression)


def parse_sql(key: str, expression: str) -> pl.Expr:
    """Parse one SQL expression; the ConfigError names the config's key."""
    import polars as pl

    try:
        parsed = pl.sql_expr(expression)
    except pl.exceptions.PolarsError as error:
        raise _refused(key, expression, error) from error
    if found := sorted(_names_in(json.loads(parsed.meta.serialize(format="json"))) & _OF_MANY_ROWS):
        raise ConfigError(
            f"{key} must give each row a value by that row alone, since rows come in pieces. Got "
            f"{expression!r}, which looks at other rows ({found[0].lower()})."
        )
    return parsed


def columns_of_sql(key: str, expression: str) -> tuple[str, ...]:
    """Return the columns that an SQL expression names, in order; the ConfigError names the config's key."""
    return _columns_of(parse_sql(key, expression))


def with_label(frame: pl.DataFrame, label: str | LabelSettings) -> pl.DataFrame:
    """Return the rows with their label; raises LabelError and ConfigError."""
    if isinstance(label, LabelSettings):
        return _with_computed(frame, label)
    if label not in frame.columns:
        raise LabelError(f"the label {label!r} is no column of the sources; {suggest(label, frame.columns)}")
    return frame


def where(frame: pl.DataFrame, condition: str | None) -> pl.DataFrame:
    """Return the rows for which an SQL condition is true; raises ConfigError."""
    import polars as pl

    if condition is None:
        return frame
    chosen = evaluate(frame, "data.where", condition)
    if chosen.dtype != pl.Boolean:
        raise ConfigError(
            f"data.where must be a condition that is true or false. Got {condition!r}, "
            f"which gives {chosen.dtype}."
        )
    return frame.filter(chosen)


def _with_computed(frame: pl.DataFrame, label: LabelSettings) -> pl.DataFrame:
    if label.name in frame.columns:
        raise ConfigError(
            f"data.label.name must differ from the sources' columns. Got {label.name!r}: choose another, "
            f"or write `label: {label.name}` to use the column as it is."
        )
    return frame.with_columns(evaluate(frame, "data.label.expression", label.expression).alias(label.name))


def evaluate(frame: pl.DataFrame, key: str, sql: str) -> pl.Series:
    """Return what an SQL expression gives for each row, in a canonical type; the ConfigError names `key`."""
    import polars as pl

    expression = parse_sql(key, sql)
    for name in _columns_of(expression):
        if name not in frame.columns:
            raise ConfigError(
                f"{key} {sql!r} names {name!r}, which is no column; {suggest(name, frame.columns)}"
            )
    try:
        return _canonical(frame.with_columns(expression.alias("_value"))["_value"], key, sql)
    except pl.exceptions.PolarsError as error:
        raise _refused(key, sql, error) from error


def _canonical(values: pl.Series, key: str, sql: str) -> pl.Series:
    import polars as pl

    if values.dtype.is_integer():
        return values.cast(pl.Int64)
    if values.dtype.is_float() or values.dtype.is_decimal():
        return values.cast(pl.Float64)
    if isinstance(values.dtype, pl.Datetime | pl.Date):
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if values.dtype not in (pl.Boolean, pl.String):
        raise ConfigError(f"{key} must give numbers, text or true and false. Got {sql!r}: {values.dtype}.")
    return values


def _names_in(tree: Json) -> set[str]:
    """Return the names of an expression's parts, without those of columns and what literals hold."""
    match tree:
        case str(name):
            return {name}
        case Mapping():
            below = (_names_in(part) for name, part in tree.items() if name not in ("Column", "Literal"))
            return set(tree).union(*below)
        case Sequence():
            return set[str]().union(*map(_names_in, tree))
        case _:
            return set()


def _columns_of(expression: pl.Expr) -> tuple[str, ...]:
    names: Sequence[str] = expression.meta.root_names()
    return tuple(sorted(set(names)))


def _refused(key: str, expression: str, error: Exception) -> ConfigError:
    cause = str(error).splitlines()[0].rstrip(".")
    return ConfigError(f"{key} must be an SQL expression over the columns. Got {expression!r}: {cause}.")
