"""From rows as a source has them to rows that can be answered, and those that cannot with the reason.

What is wrong with a row is said by the decoder of the endpoint's requests, in its words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import msgspec
import polars as pl
import pyarrow as pa

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json
from raypipe.data.names import suggest
from raypipe.data.schema import Column
from raypipe.data.sources.records import UNDECLARED, records_table
from raypipe.serving.batch.cells import converted
from raypipe.serving.request import FieldError, Hints, RequestSchema, Row, RowError
from raypipe.serving.tables import table_of

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not answered: its place among the rows of its piece, from 0, and why."""

    row: int
    errors: tuple[FieldError, ...]
    received: Json

    def to_json(self) -> dict[str, Json]:
        errors: list[Json] = [{"column": one.column, "message": one.message} for one in self.errors]
        return {"row": self.row, "errors": errors, "received": self.received}


@dataclass(frozen=True)
class Intake:
    """Some rows of a piece. Line for line, `inputs` are to be answered and `kept` stand beside the answers;
    `places` says where each was in the piece."""

    inputs: pa.Table
    kept: pa.Table
    places: Sequence[int]
    rejected: Sequence[RejectedRow]


def take_table(rows: pa.Table, schema: RequestSchema, keep: Sequence[str], start: int) -> Intake:
    """Check rows with columns of any types; the first of them is the piece's row `start`.

    Raises SchemaError for a column that is absent, or whose type is not that of any value of its kind.
    """
    _check_present(rows.column_names, schema.inputs, keep)
    names = dict.fromkeys((*(column.name for column in schema.inputs), *keep))
    frame = pl.DataFrame(pl.from_arrow(rows.select([name for name in names if name in rows.column_names])))
    values = pl.DataFrame([_column(frame, column) for column in schema.inputs])
    good = pl.Series([True]).new_from_index(0, frame.height) & _good(frame, values, schema.inputs)
    odd = (~good).arg_true().to_list()
    rare, rejected = _decoded(frame, values, schema, odd, start)
    kept = frame.select(pl.col(name) if name not in values.columns else values[name] for name in keep)
    order = sorted([*good.arg_true().to_list(), *rare])
    return Intake(
        _merged(values, schema.inputs, good, rare),
        kept[order].to_arrow() if keep else pa.table({}),
        [start + place for place in order],
        rejected,
    )


def take_lines(
    lines: Sequence[bytes], schema: RequestSchema, keep: Sequence[str], start: int
) -> tuple[Intake, int]:
    """Check JSON objects, one a line, and count those that are not blank.

    A line that is no JSON object is a rejected row. The first line is the piece's row `start`.
    """
    rows: list[Row] = []
    kept: list[dict[str, Json]] = []
    places: list[int] = []
    rejected: list[RejectedRow] = []
    hints, names, place = Hints(), [column.name for column in schema.inputs], start
    for line in lines:
        if not line.strip():
            continue
        row, values = _line(line, schema, names, hints)
        if isinstance(row, RowError):
            rejected.append(RejectedRow(place, row.fields, _shown(line)))
        else:
            rows.append(row)
            kept.append(
                {name: msgspec.json.decode(values[name]) if name in values else None for name in keep}
            )
            places.append(place)
        place += 1
    return Intake(table_of(rows, schema.inputs), _kept(kept, keep), places, rejected), place - start


def _kept(rows: Sequence[Mapping[str, Json]], keep: Sequence[str]) -> pa.Table:
    if rows and keep:
        return records_table(rows, "the kept columns", UNDECLARED)
    return pa.table({name: pa.nulls(0) for name in keep})


def _line(
    line: bytes, schema: RequestSchema, names: Iterable[str], hints: Hints
) -> tuple[Row | RowError, Mapping[str, msgspec.Raw]]:
    try:
        values = _OBJECT.decode(line)
    except _NOT_JSON:
        return schema.row(msgspec.Raw(line), hints), {}
    asked = {name: values[name] for name in names if name in values}
    return schema.row(msgspec.Raw(msgspec.json.encode(asked)), hints), values


def _shown(line: bytes) -> Json:
    text = line.decode("utf-8", "replace")
    try:
        value: Json = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return value


def _check_present(names: Sequence[str], inputs: Sequence[Column], keep: Sequence[str]) -> None:
    for name in (*(column.name for column in inputs if not column.nullable), *keep):
        if name not in names:
            raise SchemaError(f"the rows lack the column {name!r}; {suggest(name, names)}")


def _column(frame: pl.DataFrame, column: Column) -> pl.Series:
    """Return a column's values; of a column that may be missing and is, nulls."""
    cells = (
        frame[column.name]
        if column.name in frame.columns
        else pl.Series([None]).new_from_index(0, frame.height)
    )
    return converted(cells, column).alias(column.name)


def _good(frame: pl.DataFrame, values: pl.DataFrame, inputs: Sequence[Column]) -> pl.Series:
    good = pl.Series([True]).new_from_index(0, frame.height)
    for column in inputs:
        found = values[column.name].is_not_null()
        good &= (found | _missing(frame, column.name)) if column.nullable else found
    return good


def _missing(frame: pl.DataFrame, name: str) -> pl.Series:
    if name not in frame.columns:
        return pl.Series([True]).new_from_index(0, frame.height)
    cells = frame[name]
    missing = cells.is_null()
    return missing | cells.is_nan().fill_null(False) if cells.dtype.is_float() else missing


def _decoded(
    frame: pl.DataFrame, values: pl.DataFrame, schema: RequestSchema, odd: Sequence[int], start: int
) -> tuple[dict[int, Row], list[RejectedRow]]:
    """Ask the decoder about rows that have a cell which is no value of its column's kind."""
    rare: dict[int, Row] = {}
    rejected: list[RejectedRow] = []
    hints = Hints()
    for place, cells, found in zip(
        odd, frame[odd].iter_rows(named=True), values[odd].iter_rows(named=True), strict=True
    ):
        sent = {name: value if value is not None else cells.get(name) for name, value in found.items()}
        row = schema.row(_raw(sent), hints)
        if isinstance(row, RowError):
            received = {name: _json(value) for name, value in cells.items()}
            rejected.append(RejectedRow(start + place, row.fields, received))
        else:
            rare[place] = row
    return rare, rejected


def _merged(
    values: pl.DataFrame, inputs: Sequence[Column], good: pl.Series, rare: Mapping[int, Row]
) -> pa.Table:
    """Return the good rows and the rare ones in order, in the types of requests."""
    table = values.filter(good).to_arrow().cast(table_of((), inputs).schema)
    if not rare:
        return table
    both = pa.concat_tables([table, table_of(list(rare.values()), inputs)])
    places = [*good.arg_true().to_list(), *rare]
    return both.take(sorted(range(len(places)), key=places.__getitem__))


def _raw(row: Mapping[str, object]) -> msgspec.Raw:
    parts = (f"{json.dumps(name)}:{_text(value)}" for name, value in row.items() if not _is_missing(value))
    return msgspec.Raw(f"{{{','.join(parts)}}}".encode())


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: object) -> str:
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return json.dumps(_json(value), ensure_ascii=False)


def _json(value: object) -> Json:
    """Return a cell as JSON; infinity is its name."""
    match value:
        case float():
            return value if math.isfinite(value) else None if math.isnan(value) else str(value)
        case None | bool() | int() | str():
            return value
        case Decimal():
            return float(value)
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)


def blocks_of(rows: pa.Table, n_rows: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield some rows at a time, each time with the place of the first."""
    for start in range(0, rows.num_rows, n_rows):
        yield start, rows.slice(start, n_rows)
