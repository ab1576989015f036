"""Columns out of rows that came as Python values: of a database, or of JSON objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, islice
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa

from raypipe.core.errors import SchemaError, SourceError
from raypipe.data.schema import ColumnKind

CHUNK_ROWS = 50_000
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True)
class Declared:
    """What the config says of columns: kinds, and which may be of any type, for they are dropped."""

    kinds: Mapping[str, ColumnKind]
    drop: Sequence[str] = ()

    def is_text(self, column: str) -> bool:
        """Whether values that are no text, such as a JSON object, shall become their JSON."""
        return self.kinds.get(column) == "category"


UNDECLARED = Declared({})


def records_table(records: Iterable[Mapping[str, Any]], where: str, declared: Declared) -> pa.Table:
    """Return JSON objects as a table, a column for each key in order of appearance; raises SchemaError."""
    rest = iter(records)
    tables = []
    while chunk := list(islice(rest, CHUNK_ROWS)):
        names = list(dict.fromkeys(chain.from_iterable(chunk)))
        columns = [[record.get(name) for record in chunk] for name in names]
        tables.append(columns_table(names, columns, where, declared))
    return stacked(tables, where)


def columns_table(
    names: Sequence[str], columns: Sequence[Sequence[object]], where: str, declared: Declared
) -> pa.Table:
    """Return columns of Python values as a table; raises SchemaError for one of more than one type."""
    arrays = [_array(name, values, where, declared) for name, values in zip(names, columns, strict=True)]
    return pa.table(arrays, names=list(names))


def stacked(tables: Sequence[pa.Table], where: str) -> pa.Table:
    """Stack tables that a column may be absent from, or an integer here and a float there."""
    if not tables:
        return pa.table({})
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise SchemaError(f"{where} holds a column of more than one type: {_first(error)}.") from error


def json_object(text: bytes, where: str) -> dict[str, Any]:
    """Return what must be one JSON object; raises SourceError."""
    try:
        return _OBJECT.decode(text)
    except _NOT_JSON as error:
        shown = text[:60].decode("utf-8", "replace")
        raise SourceError(f"{where} must be one JSON object. Got {shown!r}: {_first(error)}.") from error


def json_lines(lines: Sequence[bytes], where: str, first_line: int) -> Iterator[dict[str, Any]]:
    """Yield the JSON object of each line that is not blank; raises SourceError, which names the line."""
    for number, line in enumerate(lines, first_line):
        if line.strip():
            yield json_object(line, f"line {number:,} of {where}")


def _array(name: str, values: Sequence[object], where: str, declared: Declared) -> pa.Array:
    if declared.is_text(name):
        return pa.array([_as_text(value) for value in values], pa.large_string())
    kinds = set(map(type, values))
    if not kinds.isdisjoint(_PLAIN):
        values = [_plain(value) for value in values]
    try:
        if kinds <= _NUMBERS and float in kinds:
            return pa.array(values, pa.float64())
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError) as error:
        # Values of the declared kind are told from others later.
        if name in declared.drop or name in declared.kinds:
            return pa.array([_as_text(value) for value in values], pa.large_string())
        held = " and ".join(sorted(kind.__name__ for kind in kinds if kind is not type(None)))
        raise SchemaError(
            f"column {name!r} of {where} holds values of type {held}, which make no column: {_first(error)}; "
            f"correct them, or declare text with `data.contract.columns.{name}.kind: category`."
        ) from error


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return str(value) if isinstance(value, UUID) else value


def _first(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


_PLAIN = frozenset({Decimal, UUID})
_NUMBERS = frozenset({int, float, type(None)})
