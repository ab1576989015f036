"""What a column is, said in five kinds that every room understands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from raypipe.core.errors import SchemaError
from raypipe.core.ids import Json

if TYPE_CHECKING:
    import pyarrow as pa

ColumnKind = Literal["number", "integer", "boolean", "category", "timestamp"]
KINDS: tuple[ColumnKind, ...] = get_args(ColumnKind)

Value: TypeAlias = bool | int | float | str | datetime | None
"""One cell of a row, as a request brings it; a `datetime` without a zone is UTC."""


@dataclass(frozen=True)
class Column:
    """A column's name, what its values are, and whether some may be missing."""

    name: str
    kind: ColumnKind
    nullable: bool

    def to_json(self) -> dict[str, Json]:
        return {"name": self.name, "kind": self.kind, "nullable": self.nullable}

    @classmethod
    def from_json(cls, value: Json) -> Column:
        """Read what `to_json` wrote; raises SchemaError for anything else."""
        match value:
            case {"name": str(name), "kind": str(kind), "nullable": bool(nullable)} if kind in KINDS:
                return cls(name, kind, nullable)
            case _:
                raise SchemaError(
                    f"A column must have a name, a kind of {list(KINDS)}, nullable. Got {value!r}."
                )


def kind_of(type: pa.DataType) -> ColumnKind:
    """Return the kind of an Arrow type.

    Decimals are numbers, dates are timestamps (midnight UTC), a dictionary is what its values are, and a
    column without any value (Arrow's null type) is a category. Raises SchemaError for any other type.
    """
    from pyarrow import types

    if types.is_dictionary(type):
        return kind_of(type.value_type)
    if types.is_integer(type):
        return "integer"
    if types.is_floating(type) or (types.is_decimal(type) and not types.is_decimal256(type)):
        return "number"
    if types.is_boolean(type):
        return "boolean"
    if types.is_timestamp(type) or types.is_date(type):
        return "timestamp"
    if (
        types.is_string(type)
        or types.is_large_string(type)
        or types.is_string_view(type)
        or types.is_null(type)
    ):
        return "category"
    raise SchemaError(
        f"A column must hold numbers, booleans, text, dates or timestamps. Got the type {type}: "
        "drop the column, or cast it in the source."
    )


def schema_columns(schema: pa.Schema) -> tuple[Column, ...]:
    """Return the columns of an Arrow schema; a SchemaError names the column."""
    return tuple(column_of(field) for field in schema)


def column_of(field: pa.Field) -> Column:
    """Return the column of an Arrow field; a SchemaError names it."""
    try:
        return Column(field.name, kind_of(field.type), field.nullable)
    except SchemaError as error:
        raise SchemaError(f"Column {field.name!r} cannot be used: {error}") from error
