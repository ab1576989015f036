"""Fragments as they are kept: data files of the table `rows`, and quarantined rows beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl
import pyarrow as pa

from raypipe.core.errors import SchemaError
from raypipe.core.home import PipelineHome
from raypipe.core.ids import canonical_json, content_id, sha256_bytes
from raypipe.data.canonical import TYPES, cast_column, widen
from raypipe.data.live import AT_COLUMN, ID_COLUMN
from raypipe.data.names import suggest
from raypipe.data.schema import Column, ColumnKind
from raypipe.data.sources.source import INGESTED_COLUMN, SOURCE_COLUMN
from raypipe.data.table import read_files, scan_files, write_files
from raypipe.data.versions import ENDPOINT, DataVersion, Fragment

NUMBER_COLUMN = "_fragment"
"""Which fragment of its version a row is of, counted from 0; given only where it is asked for."""
ORIGIN = {
    SOURCE_COLUMN: TYPES["category"],
    INGESTED_COLUMN: TYPES["timestamp"],
    ID_COLUMN: TYPES["category"],
    AT_COLUMN: TYPES["timestamp"],
}
"""What rows keep of where they came from; the last two are null but for rows of live traffic."""
QUARANTINE = pa.schema(
    [
        ("quarantined_at", TYPES["timestamp"]),
        *((name, pa.large_string()) for name in ("source", "piece", "rule", "column", "value", "row", "id")),
    ]
)


def store(folder: PipelineHome, fragment: Fragment, rows: pa.Table, quarantined: pa.Table) -> Fragment:
    """Write the rows of a fragment, and those it left in quarantine; return it with its files.

    `rows` holds its typed columns and some of ORIGIN. Raises StorageError.
    """
    return replace(
        fragment,
        files=write_files(folder.rows, fragment.id, rows),
        quarantine=write_files(folder.quarantine, fragment.id, quarantined),
    )


def read_rows(folder: PipelineHome, version: DataVersion, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of any data version, in the order of its fragments.

    `columns` defaults to the version's own; those of ORIGIN, and NUMBER_COLUMN, come only if asked for.
    Raises DataError where the rows are gone.
    """
    names = list(columns) if columns is not None else [column.name for column in version.columns]
    stored = schema_of(version.columns, [name for name in names if name != NUMBER_COLUMN])
    rows = read_files(folder.rows, [file for one in version.fragments for file in one.files], stored)
    if NUMBER_COLUMN in names:
        rows = rows.append_column(NUMBER_COLUMN, _numbers(version.fragments))
    return rows.select(names)


def read_numbered(folder: PipelineHome, version: DataVersion, more: Sequence[str] = ()) -> pa.Table:
    """Return the rows of a version with NUMBER_COLUMN, and with columns of ORIGIN that are asked for."""
    return read_rows(folder, version, [*(one.name for one in version.columns), *more, NUMBER_COLUMN])


def read_fragments(
    folder: PipelineHome, version: DataVersion, columns: Sequence[str] | None = None
) -> Iterator[tuple[Fragment, pa.Table]]:
    """Yield the fragments of a version with their rows, in order, so that one is in memory at a time."""
    names = columns if columns is not None else [column.name for column in version.columns]
    for fragment in version.fragments:
        yield fragment, read_files(folder.rows, fragment.files, schema_of(version.columns, names))


def scan_rows(
    folder: PipelineHome, version: DataVersion, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a version in batches, in order; raises DataError where the rows are gone."""
    names = columns if columns is not None else [column.name for column in version.columns]
    files = [file for one in version.fragments for file in one.files]
    return scan_files(folder.rows, files, schema_of(version.columns, names))


def read_quarantine(folder: PipelineHome, version: DataVersion) -> pa.Table:
    """Return the rows that the pieces of a version left in quarantine, a row for each rule that it broke."""
    names = [file for fragment in version.fragments for file in fragment.quarantine]
    return read_files(folder.quarantine, names, QUARANTINE)


def schema_of(columns: Sequence[Column], names: Sequence[str]) -> pa.Schema:
    """Return the schema in which columns of a version, and those of ORIGIN, are read."""
    types = {**{column.name: TYPES[column.kind] for column in columns}, **ORIGIN}
    for name in names:
        if name not in types:
            raise SchemaError(f"The data version has no column {name!r}; {suggest(name, list(types))}")
    return pa.schema([(name, types[name]) for name in names])


def stored_schema(version_columns: Sequence[Column], fragments: Sequence[Fragment]) -> pa.Schema:
    """Return the schema of the Delta table that holds these fragments."""
    is_live = any(fragment.source == ENDPOINT for fragment in fragments)
    origin = list(ORIGIN) if is_live else [SOURCE_COLUMN, INGESTED_COLUMN]
    return schema_of(version_columns, [*(column.name for column in version_columns), *origin])


def columns_of(fragments: Sequence[Fragment]) -> tuple[Column, ...]:
    """Return the columns that hold the rows of all fragments, in the first one's order.

    Integers and numbers are numbers together; a column that is nowhere typed is a category. Raises
    SchemaError, naming the piece, where fragments differ in their columns or hold what does not go together.
    """
    first = fragments[0]
    kinds = native_kinds(first)
    for fragment in fragments:
        # Records of a stream need not all have the same fields.
        if fragment.position is None or first.position is None:
            _check_names(fragment, first)
        for name, kind in native_kinds(fragment).items():
            kinds[name] = _together(name, (kinds.get(name), first), (kind, fragment))
    kept = [fragment for fragment in fragments if fragment.n_kept]
    return tuple(
        Column(name, kind or "category", any(_has_missing(one, name) for one in kept))
        for name, kind in kinds.items()
    )


def native_kinds(fragment: Fragment) -> dict[str, ColumnKind | None]:
    """Return what each column holds as its piece has it; None for one without a type."""

    def native(column: Column) -> ColumnKind | None:
        if column.name in fragment.untyped:
            return None
        return "integer" if column.name in fragment.widened else column.kind

    return {column.name: native(column) for column in fragment.columns}


def to_widen(fragment: Fragment, columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the columns that must be stored as numbers in a version, though the piece has integers."""
    native = native_kinds(fragment)
    return tuple(
        sorted(
            column.name
            for column in columns
            if (native.get(column.name), column.kind) == ("integer", "number")
        )
    )


def with_widened(folder: PipelineHome, fragment: Fragment, widened: tuple[str, ...]) -> Fragment:
    """Write the rows of a fragment again with these columns as numbers, others as its piece has them."""
    changed = set(widened) ^ set(fragment.widened)
    columns = tuple(
        replace(column, kind="number" if column.name in widened else "integer")
        if column.name in changed
        else column
        for column in fragment.columns
    )
    made = replace(fragment, id=stored_id(fragment.key, widened), columns=columns, widened=widened)
    rows = read_files(folder.rows, fragment.files, fragment_schema(fragment))
    cast = [
        cast_column(rows[field.name], field.type).combine_chunks()
        if field.name in changed
        else rows[field.name]
        for field in fragment_schema(made)
    ]
    table = pa.table(cast, schema=fragment_schema(made))
    return replace(made, files=write_files(folder.rows, made.id, table))


def stored_id(key: str, widened: Sequence[str]) -> str:
    """Return the id under which the rows of a key are stored in certain types."""
    return key if not widened else content_id("f", {"key": key, "widened": sorted(widened)})


def fragment_schema(fragment: Fragment) -> pa.Schema:
    """Return the schema of a fragment's own files: without what has no type."""
    typed = [column.name for column in fragment.columns if column.name not in fragment.untyped]
    return stored_schema([column for column in fragment.columns if column.name in typed], [fragment])


def quarantine_rows(quarantined: pl.DataFrame, fragment: Fragment) -> pa.Table:
    """Return what the contract set aside as rows of the table `quarantine`."""
    columns = {name: quarantined[name].to_arrow() for name in quarantined.columns}
    columns["quarantined_at"] = pa.repeat(
        pa.scalar(fragment.ingested_at, TYPES["timestamp"]), quarantined.height
    )
    columns["piece"] = pa.repeat(pa.scalar(fragment.path), quarantined.height)
    columns["id"] = pa.array([_quarantine_id(fragment, place) for place in quarantined["place"].to_list()])
    return pa.table({field.name: columns[field.name] for field in QUARANTINE}).cast(QUARANTINE)


def _quarantine_id(fragment: Fragment, place: str) -> str:
    """Return what names a row that was set aside, whatever the contract said at the time.

    A row of traffic has its prediction's id as its place, which stays when its piece changes.
    """
    piece = "" if fragment.source == ENDPOINT else fragment.sha256
    return f"q-{sha256_bytes(canonical_json([fragment.source, piece, place]))[:16]}"


def _numbers(fragments: Sequence[Fragment]) -> pa.ChunkedArray:
    parts = [
        pa.repeat(pa.scalar(number, pa.int32()), fragment.n_kept) for number, fragment in enumerate(fragments)
    ]
    return pa.chunked_array(parts, pa.int32())


def _has_missing(fragment: Fragment, name: str) -> bool:
    return next((column.nullable for column in fragment.columns if column.name == name), True)


def _check_names(fragment: Fragment, first: Fragment) -> None:
    names, expected = ([column.name for column in one.columns] for one in (fragment, first))
    for name in expected:
        if name not in names:
            raise SchemaError(
                f"{fragment.path} lacks the column {name!r} of {first.path}; {suggest(name, names)}"
            )
    for name in names:
        if name not in expected:
            raise SchemaError(f"{fragment.path} has the column {name!r}, which {first.path} lacks.")


def _together(
    name: str, one: tuple[ColumnKind | None, Fragment], other: tuple[ColumnKind | None, Fragment]
) -> ColumnKind | None:
    types = [pa.null() if kind is None else TYPES[kind] for kind, _ in (one, other)]
    wide = widen(*types)
    if wide is None:
        raise SchemaError(
            f"column {name!r} of {other[1].path} is {_name(types[1])}, but in {one[1].path} it is "
            f"{_name(types[0])}: give it one type in all files."
        )
    return _KIND_OF.get(wide)


_KIND_OF: Mapping[pa.DataType, ColumnKind] = {type: kind for kind, type in TYPES.items()}


def _name(type: pa.DataType) -> str:
    return str(type).removeprefix("large_")
