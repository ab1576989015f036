"""Reading a CSV file whose column types are found by looking at all of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

from raypipe.core.errors import SchemaError, SourceError
from raypipe.data.canonical import TYPES
from raypipe.data.event_time import parse_times
from raypipe.data.locations import SourceFile
from raypipe.data.schema import ColumnKind

if TYPE_CHECKING:
    import polars as pl

_DELIMITERS = ",;\t|"
_READ_AS = {kind: type for kind, type in TYPES.items() if kind != "timestamp"}


def read_csv(file: SourceFile, kinds: Mapping[str, ColumnKind]) -> pa.Table:
    """Read a CSV file; `kinds` says what columns hold where that is not to be found out from the values.

    A declared column that also holds other values is text. Raises SourceError where the text is no table, and
    SchemaError for another column that starts as numbers or times and goes on as something else.
    """
    try:
        table = _parse(file, kinds, use_threads=True)
    except pa.ArrowException:
        # Values of the declared kind are told from others later, so all are read as text.
        table = _parse_again(file, dict.fromkeys(kinds, "category"))
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name not in kinds and pa.types.is_string(column.type):
            _check_one_kind(file, name, column)
    return table


def _parse(file: SourceFile, kinds: Mapping[str, ColumnKind], *, use_threads: bool) -> pa.Table:
    delimiter = _delimiter(file)
    with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
        return csv.read_csv(
            stream,
            read_options=csv.ReadOptions(use_threads=use_threads),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                strings_can_be_null=True,
                column_types={name: _READ_AS[kind] for name, kind in kinds.items() if kind in _READ_AS},
            ),
        )


def _parse_again(file: SourceFile, kinds: Mapping[str, ColumnKind]) -> pa.Table:
    """Read once more in one thread, for only then does Arrow say at which row it stopped."""
    try:
        return _parse(file, kinds, use_threads=False)
    except pa.ArrowException as error:
        raise _explained(file, kinds, str(error).splitlines()[0]) from error


def _explained(file: SourceFile, kinds: Mapping[str, ColumnKind], text: str) -> SourceError | SchemaError:
    found = re.search(r"In CSV column #(\d+): .*invalid value '(.*)'", text)
    if found is None:
        return SourceError(f"{file} of source {file.source.name} is not a CSV table: {text}.")
    name = _header(file)[int(found[1])]
    return SchemaError(
        f"column {name!r} of {file} must hold values of kind {kinds.get(name, 'number')}. "
        f"Got {found[2]!r}: correct the file, or `data.contract.columns.{name}.kind`."
    )


def _header(file: SourceFile) -> list[str]:
    delimiter = _delimiter(file)
    with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
        reader = csv.open_csv(stream, parse_options=csv.ParseOptions(delimiter=delimiter))
        return list(reader.schema.names)


def _delimiter(file: SourceFile) -> str:
    """Return the separator that the header line holds most of, outside quotes."""
    with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
        line = stream.read(64 * 1024).split(b"\n", 1)[0].decode("utf-8", "replace")
    bare = re.sub(r'"[^"]*"', "", line)
    return max(_DELIMITERS, key=bare.count)


def _check_one_kind(file: SourceFile, name: str, column: pa.ChunkedArray) -> None:
    import polars as pl

    texts = pl.Series(name, pl.from_arrow(column)).drop_nulls()
    head = texts.head(max(10, min(1000, len(texts) // 2)))
    for what, parse in (("numbers", _numbers), ("times", parse_times)):
        if 10 <= len(head) < len(texts) and parse(head).null_count() == 0:
            stranger = texts.filter(parse(texts).is_null())[0]
            row = column.index(pa.scalar(stranger, column.type)).as_py() + 1
            raise SchemaError(
                f"column {name!r} of {file} starts with {what} but holds {stranger!r} in row {row:,}: "
                f"correct the file, or declare text with `data.contract.columns.{name}.kind: category`."
            )


def _numbers(texts: pl.Series) -> pl.Series:
    import polars as pl

    return texts.cast(pl.Float64, strict=False)
