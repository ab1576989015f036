"""From declared sources to one table: all rows of all files, in sorted order, in canonical types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import parquet

from raypipe.core.errors import SchemaError, SourceError
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.canonical import TYPES, canonical_type, cast_column, widen
from raypipe.data.config import DataSettings
from raypipe.data.csv_file import read_csv
from raypipe.data.locations import SourceFile, check_unchanged
from raypipe.data.names import suggest
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.source import RESERVED, SOURCE_COLUMN


@dataclass(frozen=True)
class SourceRows:
    """The stacked rows, with the source's name in `_source`, and how many came from each file.

    `unread` names the columns that are left out, as their type cannot be used.
    """

    table: pa.Table
    n_rows: tuple[int, ...]
    unread: tuple[str, ...]


@dataclass(frozen=True)
class _Opened:
    """A file whose schema is known: a CSV is read already, of a Parquet file only the footer."""

    file: SourceFile
    schema: pa.Schema
    table: pa.Table | None


def read_files(
    files: Sequence[SourceFile], settings: DataSettings, progress: Progress = silent
) -> SourceRows:
    """Read and stack files; raises SourceError and SchemaError, which name the file and the column."""
    kinds = {name: rule.kind for name, rule in settings.contract.columns.items() if rule.kind}
    opened = [_open(file, kinds) for file in files]
    schema = unify([(str(one.file), _canonical(one, settings.drop, kinds)) for one in opened])
    tables = []
    for number, one in enumerate(opened, start=1):
        progress(Step("collect", f"reading {one.file}", number / len(opened)))
        tables.append(_read(one, schema))
    unread = {name: None for one in opened for name in one.schema.names if name not in schema.names}
    return SourceRows(pa.concat_tables(tables), tuple(table.num_rows for table in tables), tuple(unread))


def unify(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """Return the schema that holds the rows of all files, in the first one's order; raises SchemaError."""
    first_path, first = schemas[0]
    types = {field.name: field.type for field in first}
    for path, schema in schemas[1:]:
        _check_names(path, schema.names, first_path, first.names)
        for field in schema:
            wide = widen(types[field.name], field.type)
            if wide is None:
                raise SchemaError(
                    f"column {field.name!r} of {path} is {_name(field.type)}, but in {first_path} it is "
                    f"{_name(types[field.name])}: give it one type in all files."
                )
            types[field.name] = wide
    return pa.schema(
        [(name, TYPES["category"] if pa.types.is_null(type) else type) for name, type in types.items()]
    )


def _name(type: pa.DataType) -> str:
    return str(type).removeprefix("large_")


def _check_names(path: str, names: Sequence[str], first_path: str, first_names: Sequence[str]) -> None:
    for name in first_names:
        if name not in names:
            raise SchemaError(f"{path} lacks the column {name!r} of {first_path}; {suggest(name, names)}")
    for name in names:
        if name not in first_names:
            raise SchemaError(f"{path} has the column {name!r}, which {first_path} lacks.")


def _open(file: SourceFile, kinds: Mapping[str, ColumnKind]) -> _Opened:
    try:
        if file.source.format == "csv":
            table = read_csv(file, kinds)
            return _Opened(file, _checked(file, table.schema, table.num_rows), table)
        with file.filesystem.open_input_file(file.path) as stream:
            footer = parquet.ParquetFile(stream)
            return _Opened(file, _checked(file, footer.schema_arrow, footer.metadata.num_rows), None)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: SourceFile, error: Exception) -> SourceError:
    cause = str(error).splitlines()[0].rstrip(".")
    return SourceError(
        f"{file} of source {file.source.name} is not a {file.source.format} file, or is damaged: {cause}."
    )


def _checked(file: SourceFile, schema: pa.Schema, n_rows: int) -> pa.Schema:
    if n_rows == 0:
        raise SourceError(f"{file} of source {file.source.name} holds no rows; remove or replace it.")
    folded: dict[str, str] = {}
    for name in schema.names:
        if name in RESERVED:
            raise SchemaError(
                f"column {name!r} of {file} has a name that raypipe keeps for itself; rename it."
            )
        # A Delta table does not tell names apart by case.
        if (other := folded.setdefault(name.casefold(), name)) != name or schema.names.count(name) > 1:
            raise SchemaError(f"{file} has two columns named {other!r} and {name!r}; rename one.")
    return schema


def _canonical(opened: _Opened, drop: Sequence[str], kinds: Mapping[str, ColumnKind]) -> pa.Schema:
    fields = [_canonical_field(opened.file, field, drop, kinds.get(field.name)) for field in opened.schema]
    return pa.schema([field for field in fields if field is not None])


def _canonical_field(
    file: SourceFile, field: pa.Field, drop: Sequence[str], kind: ColumnKind | None
) -> pa.Field | None:
    try:
        found = canonical_type(field.type)
    except SchemaError as error:
        if field.name in drop:
            return None
        if kind is None:
            raise SchemaError(
                f"column {field.name!r} of {file} is of type {field.type}, which cannot be used; "
                f"name it in `drop`, or write numbers, text, booleans or timestamps instead."
            ) from error
        found = None
    return field.with_type(TYPES[kind] if kind else found).with_metadata(None)


def _read(opened: _Opened, schema: pa.Schema) -> pa.Table:
    table = opened.table if opened.table is not None else _read_parquet(opened.file, schema.names)
    check_unchanged(opened.file)
    columns = [_cast(opened.file, name, table[name], schema.field(name).type) for name in schema.names]
    source = pa.array([opened.file.source.name], pa.large_string()).dictionary_encode()
    names = source.take(pa.repeat(0, table.num_rows))
    return pa.table([*columns, names], schema=schema.append(pa.field(SOURCE_COLUMN, names.type)))


def _read_parquet(file: SourceFile, names: Sequence[str]) -> pa.Table:
    try:
        with file.filesystem.open_input_file(file.path) as stream:
            return parquet.ParquetFile(stream).read(columns=list(names))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _cast(file: SourceFile, name: str, column: pa.ChunkedArray, type: pa.DataType) -> pa.ChunkedArray:
    try:
        return cast_column(column, type)
    except pa.ArrowException as error:
        cause = str(error).splitlines()[0].rstrip(".")
        raise SchemaError(f"column {name!r} of {file} cannot be read as {type}: {cause}.") from error
