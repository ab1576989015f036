"""The contract at the door: which rows keep its rules, and what becomes of those that do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from raypipe.core.errors import ConfigError, ContractError
from raypipe.data.contract_settings import ColumnRule, ContractSettings, RowRule, Violation
from raypipe.data.expressions import columns_of_sql, parse_sql
from raypipe.data.names import suggest
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.misfits import Misfits
from raypipe.data.sources.source import PLACE_COLUMN, SOURCE_COLUMN
from raypipe.data.versions import BrokenRule

ALLOWED_SHOWN = 8
Stoppable = TypeVar("Stoppable", ColumnRule, RowRule)
QUARANTINED = dict.fromkeys(("source", "place", "rule", "column", "value", "row"), pl.String)


@dataclass(frozen=True)
class Rule:
    """A rule on each row by itself: `broken` is true for the rows that break it, and never null."""

    text: str
    columns: tuple[str, ...]
    action: Violation
    broken: pl.Expr
    key: str
    """Where it stands in the config."""

    @property
    def column(self) -> str:
        return ", ".join(self.columns)


@dataclass(frozen=True)
class Checked:
    """The rows that kept all rules, what was broken, and the rows to quarantine (columns of QUARANTINED)."""

    accepted: pl.DataFrame
    broken: tuple[BrokenRule, ...]
    quarantined: pl.DataFrame
    n_bad: int


def check_contract(settings: ContractSettings) -> None:
    """Raise ConfigError for what is wrong whatever the rows are: a pattern, or an SQL condition."""
    for name, rule in settings.columns.items():
        try:
            pl.Series([""]).str.contains(rule.pattern or "")
        except pl.exceptions.PolarsError as error:
            raise ConfigError(
                f"data.contract.columns.{name}.pattern must be a regular expression without look-around. "
                f"Got {rule.pattern!r}."
            ) from error
    for place, row_rule in enumerate(settings.rows):
        parse_sql(_row_key(place), row_rule.must)


def rules_of(settings: ContractSettings, schema: pl.Schema) -> tuple[Rule, ...]:
    """Return the rules on single rows; raises ConfigError for one that does not fit its columns."""
    for name in settings.columns:
        if name not in schema:
            raise ConfigError(f"data.contract.columns.{name} is no column; {suggest(name, schema.names())}")
    return (
        *(rule for name, one in settings.columns.items() for rule in _rules(name, one, schema[name])),
        *(_row_rule(place, rule, schema) for place, rule in enumerate(settings.rows)),
    )


def time_rule(time: str) -> Rule:
    """Return the rule that every row has an event time; rows without one are dropped."""
    return Rule("time is null", (time,), "drop", pl.col(time).is_null(), "data.time")


def check(frame: pl.DataFrame, rules: Sequence[Rule]) -> Checked:
    """Sort rows (with their `_source` and `_place`) into accepted and broken.

    Raises ContractError where a rule that stops the batch is broken.
    """
    flags = frame.select(rule.broken.alias(str(number)) for number, rule in enumerate(rules))
    counts = [int(flags[str(number)].sum()) for number in range(len(rules))]
    for number, (rule, count) in enumerate(zip(rules, counts, strict=True)):
        if rule.action == "stop" and count:
            raise stopped(rule.text, rule.columns, rule.key, frame.filter(flags[str(number)]))
    good = flags.select(good=~pl.any_horizontal(pl.all()))["good"] if rules else None
    accepted = frame if good is None else frame.filter(good)
    broken = tuple(
        BrokenRule(rule.text, rule.column, rule.action, count)
        for rule, count in zip(rules, counts, strict=True)
        if count
    )
    parts = [
        set_aside(rule.text, rule.columns, frame.filter(flags[str(number)]))
        for number, rule in enumerate(rules)
        if rule.action == "quarantine" and counts[number]
    ]
    quarantined = pl.concat(parts) if parts else pl.DataFrame(schema=QUARANTINED)
    return Checked(accepted, broken, quarantined, frame.height - accepted.height)


def check_kinds(frame: pl.DataFrame, contract: ContractSettings, misfits: Sequence[Misfits]) -> Checked:
    """Sort out the rows that hold values which are not of the declared kind, as `check` does.

    What is quarantined of them has those values as they came.
    """
    broken, parts = list[BrokenRule](), list[pl.DataFrame]()
    is_bad = pl.repeat(False, frame.height, eager=True)
    originals = frame.with_columns(one.texts.alias(one.column) for one in misfits)
    for one in misfits:
        text, key = f"must be of kind {one.kind}", f"data.contract.columns.{one.column}"
        action, rows = contract.columns[one.column].on_violation, originals.filter(one.is_misfit)
        if action == "stop":
            raise stopped(text, (one.column,), key, rows)
        if action == "quarantine":
            parts.append(set_aside(text, (one.column,), rows))
        broken.append(BrokenRule(text, one.column, action, rows.height))
        is_bad |= one.is_misfit
    quarantined = pl.concat(parts) if parts else pl.DataFrame(schema=QUARANTINED)
    return Checked(frame.filter(~is_bad), tuple(broken), quarantined, int(is_bad.sum()))


def set_aside(rule: str, columns: Sequence[str], rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows that broke a rule on these columns as they are quarantined, with columns of QUARANTINED."""
    return rows.select(
        source=pl.col(SOURCE_COLUMN).cast(pl.String),
        place=pl.col(PLACE_COLUMN).cast(pl.String),
        rule=pl.lit(rule),
        column=pl.lit(", ".join(columns)),
        value=_shown(columns),
        row=pl.struct(pl.exclude(SOURCE_COLUMN, PLACE_COLUMN)).struct.json_encode(),
    )


def stopped(rule: str, columns: Sequence[str], key: str, rows: pl.DataFrame) -> ContractError:
    """Return the error that refuses a batch for these rows; `key` is of the rule, in the config."""
    example = rows.head(1).select(_shown(columns)).item()
    named = repr(columns[0]) if len(columns) == 1 else " and ".join(columns)
    first = repr(rows[columns[0]][0]) if len(columns) == 1 else example
    return ContractError(
        f"{rows.height:,} rows break the rule that {named} {rule}, the first with {first}; "
        f"correct them, or set {key}.on_violation to drop or quarantine."
    )


def answered_already(contract: ContractSettings, redacted: frozenset[str] = frozenset()) -> ContractSettings:
    """Return the contract for rows that came in and are here to stay, as those that were answered.

    What would stop a batch sets the row aside: else one row would block every version from then on. No rule
    is about columns that are `redacted`.
    """
    columns = {name: _no_stop(rule) for name, rule in contract.columns.items() if name not in redacted}
    rows = tuple(
        _no_stop(rule)
        for rule in contract.rows
        if redacted.isdisjoint(columns_of_sql("data.contract.rows", rule.must))
    )
    return contract.model_copy(update={"columns": columns, "rows": rows})


def setting_aside(
    contract: ContractSettings, kinds: Sequence[tuple[str, ColumnKind]] = ()
) -> ContractSettings:
    """Return the contract with rules that set all rows aside; columns of `kinds` are declared, too."""
    undeclared = {name: ColumnRule(kind=kind) for name, kind in kinds if name not in contract.columns}
    aside = {"on_violation": "quarantine"}
    columns = {name: rule.model_copy(update=aside) for name, rule in contract.columns.items()}
    rows = tuple(rule.model_copy(update=aside) for rule in contract.rows)
    return contract.model_copy(update={"columns": {**columns, **undeclared}, "rows": rows})


def _no_stop(rule: Stoppable) -> Stoppable:
    return rule.model_copy(update={"on_violation": "quarantine"}) if rule.on_violation == "stop" else rule


def _rules(name: str, rule: ColumnRule, dtype: pl.DataType) -> Iterator[Rule]:
    value = pl.col(name)
    missing = value.is_null() | value.is_nan() if dtype.is_float() else value.is_null()

    def make(text: str, broken: pl.Expr) -> Rule:
        return Rule(
            text, (name,), rule.on_violation, broken.fill_null(False), f"data.contract.columns.{name}"
        )

    if not rule.nullable:
        yield make("must not be null", missing)
    if rule.min is not None or rule.max is not None:
        _require(name, "min and max", "a column of numbers", dtype, dtype.is_numeric())
    if rule.min is not None:
        yield make(f"must be >= {rule.min:g}", (value < rule.min) & ~missing)
    if rule.max is not None:
        yield make(f"must be <= {rule.max:g}", (value > rule.max) & ~missing)
    if rule.allowed is not None:
        yield make(
            _allowed_text(rule.allowed), ~value.is_in(_allowed(name, rule, dtype).implode()) & ~missing
        )
    if rule.pattern is not None:
        _require(name, "pattern", "a column of text", dtype, dtype == pl.String)
        yield make(f"must match {rule.pattern}", ~value.str.contains(rf"\A(?:{rule.pattern})\z"))


def _row_rule(place: int, rule: RowRule, schema: pl.Schema) -> Rule:
    key = _row_key(place)
    condition = parse_sql(key, rule.must)
    names = columns_of_sql(key, rule.must)
    for name in names:
        if name not in schema:
            raise ConfigError(
                f"{key} {rule.must!r} names {name!r}, which is no column; {suggest(name, schema.names())}"
            )
    if not names:
        raise ConfigError(f"{key} must name columns. Got {rule.must!r}.")
    try:
        dtype = pl.DataFrame(schema=schema).select(condition.alias("must"))["must"].dtype
    except pl.exceptions.PolarsError as error:
        cause = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(f"{key} must fit the columns. Got {rule.must!r}: {cause}.") from error
    if dtype != pl.Boolean:
        raise ConfigError(
            f"{key} must be a condition that is true or false. Got {rule.must!r}, which gives {dtype}."
        )
    broken = ~condition.fill_null(True)
    return Rule(f"must be {rule.must}", names, rule.on_violation, broken, key.removesuffix(".must"))


def _row_key(place: int) -> str:
    return f"data.contract.rows[{place}].must"


def _shown(columns: Sequence[str]) -> pl.Expr:
    """Return the value that broke a rule as text: of several columns each with its name."""
    if len(columns) == 1:
        return pl.col(columns[0]).cast(pl.String)
    texts = [
        pl.concat_str(pl.lit(f"{name} "), pl.col(name).cast(pl.String).fill_null("null")) for name in columns
    ]
    return pl.concat_str(texts, separator=", ")


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
