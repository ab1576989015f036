"""The contract at the door: which rows keep its rules, and what becomes of those that do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from raypipe.core.errors import ConfigError, DataError
from raypipe.data.config import ColumnRule, ContractSettings, Violation
from raypipe.data.names import suggest
from raypipe.data.sources.source import SOURCE_COLUMN
from raypipe.data.versions import BrokenRule

ALLOWED_SHOWN = 8
QUARANTINED = dict.fromkeys(("source", "rule", "column", "value", "row"), pl.String)


@dataclass(frozen=True)
class Rule:
    """One rule on one column: `broken` is true for the rows that break it, and never null."""

    text: str
    column: str
    action: Violation
    broken: pl.Expr


@dataclass(frozen=True)
class Checked:
    """The rows that kept all rules, what was broken, and the rows to quarantine (columns of QUARANTINED)."""

    accepted: pl.DataFrame
    broken: tuple[BrokenRule, ...]
    quarantined: pl.DataFrame
    n_bad: int


def check_patterns(settings: ContractSettings) -> None:
    """Raise ConfigError for a pattern that is no regular expression."""
    for name, rule in settings.columns.items():
        try:
            pl.Series([""]).str.contains(rule.pattern or "")
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                f"data.contract.columns.{name}.pattern must be a regular expression without look-around. "
                f"Got {rule.pattern!r}."
            ) from error


def rules_of(settings: ContractSettings, schema: pl.Schema) -> tuple[Rule, ...]:
    """Return the rules of a contract; raises ConfigError for one that does not fit its column."""
    for name in settings.columns:
        if name not in schema:
            raise ConfigError(f"data.contract.columns.{name} is no column; {suggest(name, schema.names())}")
    return tuple(
        rule for name, declared in settings.columns.items() for rule in _rules(name, declared, schema[name])
    )


def time_rule(time: str) -> Rule:
    """Return the rule that every row has an event time; rows without one are dropped."""
    return Rule("time is null", time, "drop", pl.col(time).is_null())


def check(frame: pl.DataFrame, rules: Sequence[Rule]) -> Checked:
    """Sort rows (with their `_source`) into accepted and broken.

    Raises DataError where a rule that stops the batch is broken.
    """
    flags = frame.select(rule.broken.alias(str(number)) for number, rule in enumerate(rules))
    counts = [int(flags[str(number)].sum()) for number in range(len(rules))]
    for number, (rule, count) in enumerate(zip(rules, counts, strict=True)):
        if rule.action == "stop" and count:
            raise _stopped(rule, count, frame.filter(flags[str(number)]))
    good = flags.select(good=~pl.any_horizontal(pl.all()))["good"] if rules else None
    accepted = frame if good is None else frame.filter(good)
    broken = tuple(
        BrokenRule(rule.text, rule.column, rule.action, count)
        for rule, count in zip(rules, counts, strict=True)
        if count
    )
    parts = [
        _to_quarantine(rule, frame.filter(flags[str(number)]))
        for number, rule in enumerate(rules)
        if rule.action == "quarantine" and counts[number]
    ]
    quarantined = pl.concat(parts) if parts else pl.DataFrame(schema=QUARANTINED)
    return Checked(accepted, broken, quarantined, frame.height - accepted.height)


def _rules(name: str, rule: ColumnRule, dtype: pl.DataType) -> Iterator[Rule]:
    value = pl.col(name)
    missing = value.is_null() | value.is_nan() if dtype.is_float() else value.is_null()

    def make(text: str, broken: pl.Expr) -> Rule:
        return Rule(text, name, rule.on_violation, broken.fill_null(False))

    if not rule.nullable:
        yield make("must not be null", missing)
    if rule.min is not None or rule.max is not None:
        _require(name, "min and max", "a column of numbers", dtype, dtype.is_numeric())
    if rule.min is not None:
        yield make(f"must be >= {rule.min:g}", (value < rule.min) & ~missing)
    if rule.max is not None:
        yield make(f"must be <= {rule.max:g}", (value > rule.max) & ~missing)
    if rule.allowed is not None:
        yield make(_allowed_text(rule.allowed), ~value.is_in(_allowed(name, rule, dtype)) & ~missing)
    if rule.pattern is not None:
        _require(name, "pattern", "a column of text", dtype, dtype == pl.String)
        yield make(f"must match {rule.pattern}", ~value.str.contains(rf"\A(?:{rule.pattern})\z"))


def _allowed_text(allowed: Sequence[str | int | float | bool]) -> str:
    shown = ", ".join(str(value) for value in allowed[:ALLOWED_SHOWN])
    return f"must be one of {shown}" + (", ..." if len(allowed) > ALLOWED_SHOWN else "")


def _allowed(name: str, rule: ColumnRule, dtype: pl.DataType) -> pl.Series:
    expected: tuple[type, ...] = (str,)
    if dtype.is_numeric():
        expected = (int, float)
    elif dtype == pl.Boolean:
        expected = (bool,)
    values = list(rule.allowed or ())
    for value in values:
        fits = isinstance(value, expected) and (isinstance(value, bool) is (expected == (bool,)))
        _require(name, "allowed", f"values like the column's; {value!r} is not", dtype, fits)
    return pl.Series(values, dtype=dtype, strict=False) if values else pl.Series([], dtype=dtype)


def _require(name: str, key: str, what: str, dtype: pl.DataType, fits: bool) -> None:
    if not fits:
        raise ConfigError(
            f"data.contract.columns.{name}: {key} needs {what}. The column {name!r} is {dtype}."
        )


def _stopped(rule: Rule, count: int, rows: pl.DataFrame) -> DataError:
    example = rows[rule.column][0]
    return DataError(
        f"{count:,} rows break the rule that {rule.column!r} {rule.text}, the first with {example!r}; "
        f"correct them, or set data.contract.columns.{rule.column}.on_violation to drop or quarantine."
    )


def _to_quarantine(rule: Rule, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        source=pl.col(SOURCE_COLUMN).cast(pl.String),
        rule=pl.lit(rule.text),
        column=pl.lit(rule.column),
        value=pl.col(rule.column).cast(pl.String),
        row=pl.struct(pl.exclude(SOURCE_COLUMN)).struct.json_encode(),
    )
