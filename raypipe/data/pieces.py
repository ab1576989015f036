"""From a piece, as its source has it, to the rows that are kept of it.

A piece gives equal rows whatever other pieces there are: so it is read once, and its rows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from raypipe.core.errors import DataError
from raypipe.data.canonical import TYPES
from raypipe.data.config import DataSettings
from raypipe.data.contract import check, check_kinds, rules_of, time_rule
from raypipe.data.contract_settings import ContractSettings
from raypipe.data.event_time import as_times
from raypipe.data.expressions import where, with_label
from raypipe.data.names import suggest
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.rows import PieceRows
from raypipe.data.sources.source import PLACE_COLUMN, SOURCE_COLUMN
from raypipe.data.versions import BrokenRule


@dataclass(frozen=True)
class Accepted:
    """The rows of a piece that are kept, and what was left out.

    `untyped` names the columns of `rows` that hold no value and have no type of their own; `unread` those of
    the source that are left out, as they cannot be used.
    """

    rows: pl.DataFrame
    untyped: tuple[str, ...]
    unread: tuple[str, ...]
    n_rows: int
    n_bad: int
    n_unlabelled: int
    broken: tuple[BrokenRule, ...]
    quarantined: pl.DataFrame


def accept(
    piece: PieceRows, settings: DataSettings, source: str, untyped: Set[str] = frozenset()
) -> Accepted:
    """Choose, label and check the rows of a piece; `untyped` names columns that hold no value in it.

    Rows with values that are not of the declared kind are sorted out before anything is asked of them.

    Raises DataError, SchemaError, LabelError and ConfigError.
    """
    frame = _placed(piece).with_columns(pl.lit(source).alias(SOURCE_COLUMN))
    of_kind = check_kinds(frame, settings.contract, piece.misfits)
    frame = where(of_kind.accepted.drop(SOURCE_COLUMN), settings.where)
    frame = with_label(_with_time(frame, settings.time), settings.label)
    frame = _for_rules(frame, settings.contract).with_columns(pl.lit(source).alias(SOURCE_COLUMN))
    rules = [
        *rules_of(settings.contract, frame.schema),
        *([time_rule(settings.time)] if settings.time else []),
    ]
    checked = check(frame, rules)
    rows = _labelled(checked.accepted, settings.label_name)
    return Accepted(
        rows=rows.drop(SOURCE_COLUMN, PLACE_COLUMN),
        untyped=tuple(name for name in frame.columns if name in untyped and name != settings.time),
        unread=piece.unread,
        n_rows=piece.table.num_rows,
        n_bad=of_kind.n_bad + checked.n_bad,
        n_unlabelled=checked.accepted.height - rows.height,
        broken=(*of_kind.broken, *checked.broken),
        quarantined=pl.concat([of_kind.quarantined, checked.quarantined]),
    )


def _placed(piece: PieceRows) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(piece.table))
    if piece.places is None:
        return frame.with_row_index(PLACE_COLUMN)
    return frame.with_columns(pl.Series(PLACE_COLUMN, pl.from_arrow(piece.places)).cast(pl.UInt32))


def without_type(table: pa.Table) -> list[str]:
    """Return the columns in which no value was found that would give them a type."""
    return [field.name for field in table.schema if pa.types.is_null(field.type)]


def hinted(table: pa.Table, known: Mapping[str, ColumnKind]) -> pa.Table:
    """Give columns without values the type that they have in other pieces, so that expressions fit."""
    for name in without_type(table):
        if name in known:
            empty = pa.nulls(table.num_rows, TYPES[known[name]])
            table = table.set_column(table.column_names.index(name), name, empty)
    return table


def missing_columns(
    table: pa.Table, known: Mapping[str, ColumnKind], settings: DataSettings
) -> dict[str, ColumnKind]:
    """Return what other pieces have beside the columns of this one, but for a label that is computed."""
    computed = None if isinstance(settings.label, str) else settings.label.name
    return {name: kind for name, kind in known.items() if name not in table.column_names and name != computed}


def with_nulls(table: pa.Table, columns: Mapping[str, ColumnKind]) -> pa.Table:
    """Return a table with further columns, which hold no value."""
    for name, kind in columns.items():
        table = table.append_column(name, pa.nulls(table.num_rows, TYPES[kind]))
    return table


def _for_rules(frame: pl.DataFrame, contract: ContractSettings) -> pl.DataFrame:
    """Give columns without values a type that the rules on them fit."""
    declared = contract.columns
    empty = [name for name, dtype in frame.schema.items() if dtype == pl.Null]
    numbers = [
        name
        for name in empty
        if name in declared and (declared[name].min is not None or declared[name].max is not None)
    ]
    texts = [name for name in empty if name not in numbers]
    return frame.with_columns(pl.col(numbers).cast(pl.Float64), pl.col(texts).cast(pl.String))


def _with_time(frame: pl.DataFrame, time: str | None) -> pl.DataFrame:
    if time is None:
        return frame
    if time not in frame.columns:
        raise DataError(
            f"the time column {time!r} is no column of the sources; {suggest(time, frame.columns)}"
        )
    return frame.with_columns(as_times(frame[time]))


def _labelled(frame: pl.DataFrame, label: str) -> pl.DataFrame:
    has_label = pl.col(label).is_not_null()
    if frame.schema[label].is_float():
        has_label &= pl.col(label).is_not_nan()
    return frame.filter(has_label)
