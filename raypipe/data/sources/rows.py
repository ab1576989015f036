"""The rows of pieces in canonical types, so that pieces written by different hands stack into one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from raypipe.core.errors import SchemaError, SourceError
from raypipe.core.progress import Progress, Step, silent
from raypipe.data.canonical import TYPES, canonical_type, cast_column, widen
from raypipe.data.names import suggest
from raypipe.data.schema import ColumnKind
from raypipe.data.sources.digest import digest_of
from raypipe.data.sources.misfits import Misfits, fitted
from raypipe.data.sources.source import RESERVED, SOURCE_COLUMN, Piece, Source


@dataclass(frozen=True)
class PieceRows:
    """The rows of a piece; a column without any value has Arrow's null type until `unify` gives it one.

    `unread` names the columns that are left out, as their type cannot be used. Where `misfits` tells of
    values that are not of the declared kind, the table has null.
    """

    table: pa.Table
    unread: tuple[str, ...]
    misfits: tuple[Misfits, ...] = ()
    places: pa.Array | None = None
    """Which rows of the piece these are, counted from 0; None for all of them."""

    def filtered(self, keep: pa.Array) -> PieceRows:
        """Return the rows for which `keep`, a boolean for each, is true."""
        places = pa.array(range(self.table.num_rows)) if self.places is None else self.places
        misfits = tuple(one.filtered(keep) for one in self.misfits)
        return replace(self, table=self.table.filter(keep), misfits=misfits, places=places.filter(keep))


@dataclass(frozen=True)
class Listed:
    """A piece whose digest is known, with its rows where they had to be read for that."""

    source: Source
    piece: Piece
    rows: PieceRows | None


@dataclass(frozen=True)
class SourceRows:
    """The stacked rows, with the source's name in `_source`, and how many came from each piece."""

    table: pa.Table
    n_rows: tuple[int, ...]
    unread: tuple[str, ...]


def read_canonical(
    source: Source, piece: Piece, kinds: Mapping[str, ColumnKind], drop: Sequence[str]
) -> PieceRows:
    """Read a piece in canonical types; `kinds` are declared, and what `drop` names may be of any type.

    Raises SourceError and SchemaError, which name the piece and the column.
    """
    rows = read_fitted(source, piece, kinds, drop)
    for misfits in rows.misfits:
        raise misfits.error(piece.name)
    return rows


def read_fitted(
    source: Source, piece: Piece, kinds: Mapping[str, ColumnKind], drop: Sequence[str]
) -> PieceRows:
    """Read a piece as `read_canonical` does, with values that are not of the declared kind as misfits."""
    table = source.read(piece)
    _check_names_alone(table.schema.names, piece, table.num_rows)
    fields = [_canonical_field(piece, field, drop, kinds.get(field.name)) for field in table.schema]
    schema = pa.schema([field for field in fields if field is not None])
    unread = tuple(name for name in table.schema.names if name not in schema.names)
    found: list[Misfits] = []
    for name in kinds:
        if name in schema.names:
            table = _fitted(table, name, kinds[name], found)
    return PieceRows(conform(table, schema, piece.name), unread, tuple(found))


def listed(source: Source, kinds: Mapping[str, ColumnKind], drop: Sequence[str]) -> tuple[Listed, ...]:
    """Return all pieces of a source with their digests; raises SourceError and SchemaError."""
    return tuple(_listed(source, piece, kinds, drop) for piece in source.pieces(None))


def read_stacked(
    pieces: Sequence[Listed],
    kinds: Mapping[str, ColumnKind],
    drop: Sequence[str],
    progress: Progress = silent,
) -> SourceRows:
    """Read and stack pieces, all in memory at once; raises SourceError and SchemaError."""
    read = []
    for number, one in enumerate(pieces, start=1):
        progress(Step("collect", f"reading {one.piece.name}", number / len(pieces)))
        read.append(one.rows or read_canonical(one.source, one.piece, kinds, drop))
    names = [one.piece.name for one in pieces]
    schema = unify([(name, rows.table.schema) for name, rows in zip(names, read, strict=True)])
    tables = [
        with_source(conform(rows.table, schema, one.piece.name), one.source.name)
        for rows, one in zip(read, pieces, strict=True)
    ]
    unread = tuple(dict.fromkeys(name for rows in read for name in rows.unread))
    return SourceRows(pa.concat_tables(tables), tuple(table.num_rows for table in tables), unread)


def unify(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """Return the schema that holds the rows of all pieces, in the first one's order; raises SchemaError.

    Each comes with the name that an error calls it by.
    """
    first_name, first = schemas[0]
    types = {field.name: field.type for field in first}
    for name, schema in schemas[1:]:
        _check_names(name, schema.names, first_name, first.names)
        for field in schema:
            wide = widen(types[field.name], field.type)
            if wide is None:
                raise SchemaError(
                    f"column {field.name!r} of {name} is {_name(field.type)}, but in {first_name} it is "
                    f"{_name(types[field.name])}: give it one type in all files."
                )
            types[field.name] = wide
    return pa.schema(
        [(name, TYPES["category"] if pa.types.is_null(type) else type) for name, type in types.items()]
    )


def conform(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """Return a table's columns in the order and types of a schema; raises SchemaError, which names `name`."""
    columns = [_cast(name, field.name, table[field.name], field.type) for field in schema]
    return pa.table(columns, schema=schema) if columns else table.select([])


def with_source(table: pa.Table, source: str) -> pa.Table:
    """Return a table with `_source` behind its columns."""
    named = pa.array([source], pa.large_string()).dictionary_encode()
    return table.append_column(SOURCE_COLUMN, named.take(pa.repeat(0, table.num_rows)))


def _fitted(table: pa.Table, name: str, kind: ColumnKind, found: list[Misfits]) -> pa.Table:
    """Return the table with a column of the declared kind, where it is text or cannot be cast as a whole."""
    place = table.schema.get_field_index(name)
    try:
        if kind == "timestamp" and _is_text(table[name].type):
            raise pa.ArrowInvalid("texts are read one by one")
        cast_column(table[name], TYPES[kind])
    except pa.ArrowException:
        try:
            column, misfits = fitted(name, table[name], kind)
        except pa.ArrowException:
            return table
        found += [misfits] if misfits is not None else []
        return table.set_column(place, name, column)
    return table


def _listed(source: Source, piece: Piece, kinds: Mapping[str, ColumnKind], drop: Sequence[str]) -> Listed:
    if piece.digest is not None:
        return Listed(source, piece, None)
    rows = read_canonical(source, piece, kinds, drop)
    return Listed(source, replace(piece, digest=digest_of(rows.table)), rows)


def _name(type: pa.DataType) -> str:
    return str(type).removeprefix("large_")


def _check_names(name: str, names: Sequence[str], first_name: str, first_names: Sequence[str]) -> None:
    for column in first_names:
        if column not in names:
            raise SchemaError(f"{name} lacks the column {column!r} of {first_name}; {suggest(column, names)}")
    for column in names:
        if column not in first_names:
            raise SchemaError(f"{name} has the column {column!r}, which {first_name} lacks.")


def _check_names_alone(names: Sequence[str], piece: Piece, n_rows: int) -> None:
    if n_rows == 0 and piece.position is None:
        raise SourceError(f"{piece.name} of source {piece.source} holds no rows; remove or replace it.")
    folded: dict[str, str] = {}
    for name in names:
        if name in RESERVED:
            raise SchemaError(
                f"column {name!r} of {piece.name} has a name that raypipe keeps for itself; rename it."
            )
        # A Delta table does not tell names apart by case.
        if (other := folded.setdefault(name.casefold(), name)) != name or names.count(name) > 1:
            raise SchemaError(f"{piece.name} has two columns named {other!r} and {name!r}; rename one.")


def _canonical_field(
    piece: Piece, field: pa.Field, drop: Sequence[str], kind: ColumnKind | None
) -> pa.Field | None:
    try:
        found = canonical_type(field.type)
    except SchemaError as error:
        if field.name in drop:
            return None
        if kind is None:
            raise SchemaError(
                f"column {field.name!r} of {piece.name} is of type {field.type}, which cannot be used; "
                f"name it in `drop`, or write numbers, text, booleans or timestamps instead."
            ) from error
        found = None
    return field.with_type(TYPES[kind] if kind else found).with_metadata(None)


def _cast(name: str, column: str, values: pa.ChunkedArray, type: pa.DataType) -> pa.ChunkedArray:
    try:
        if pa.types.is_timestamp(type) and _is_text(values.type):
            return _times(name, column, values)
        return cast_column(values, type)
    except pa.ArrowException as error:
        cause = str(error).splitlines()[0].rstrip(".")
        raise SchemaError(f"column {column!r} of {name} cannot be read as {type}: {cause}.") from error


def _is_text(type: pa.DataType) -> bool:
    return type in (pa.string(), pa.large_string(), pa.string_view())


def _times(name: str, column: str, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    import polars as pl

    from raypipe.data.event_time import parse_times

    values = pl.Series(column, pl.from_arrow(texts))
    times = parse_times(values)
    strangers = values.filter(times.is_null() & values.is_not_null())
    if len(strangers):
        raise SchemaError(
            f"column {column!r} of {name} must hold times in ISO 8601, such as 2026-01-31T12:00:00Z. "
            f"Got {strangers[0]!r}."
        )
    return pa.chunked_array([times.to_arrow()])
