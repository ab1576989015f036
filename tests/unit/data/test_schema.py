from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.core.errors import SchemaError
from raypipe.data.schema import KINDS, Column, column_of, kind_of, schema_columns

KIND_OF_TYPE = {
    "number": [pa.float16(), pa.float32(), pa.float64(), pa.decimal32(5, 2), pa.decimal128(38, 10)],
    "integer": [pa.int8(), pa.int64(), pa.uint64(), pa.dictionary(pa.int8(), pa.int32())],
    "boolean": [pa.bool_()],
    "category": [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.null(),
    ],
    "timestamp": [pa.timestamp("ns"), pa.timestamp("s", "Europe/Berlin"), pa.date32(), pa.date64()],
}
REFUSED = [
    pa.list_(pa.int64()),
    pa.struct({"a": pa.int64()}),
    pa.map_(pa.string(), pa.int64()),
    pa.binary(),
    pa.time64("us"),
    pa.duration("s"),
    pa.decimal256(60, 2),
]


@pytest.mark.parametrize(
    ("type", "kind"), [(type, kind) for kind, types in KIND_OF_TYPE.items() for type in types], ids=str
)
def test_kinds(type: pa.DataType, kind: str) -> None:
    assert kind_of(type) == kind


@pytest.mark.parametrize("type", REFUSED, ids=str)
def test_other_types_are_refused_with_what_to_do(type: pa.DataType) -> None:
    with pytest.raises(SchemaError, match=r"Column 'x' cannot be used: .*drop the column, or cast it"):
        column_of(pa.field("x", type))


def test_columns_of_a_schema() -> None:
    schema = pa.schema([pa.field("a", pa.int8(), nullable=False), pa.field("ü", pa.string())])
    assert schema_columns(schema) == (Column("a", "integer", False), Column("ü", "category", True))


@pytest.mark.parametrize("kind", KINDS)
def test_json_round_trip(kind: str) -> None:
    column = Column("a", kind, True)  # type: ignore[arg-type]
    assert Column.from_json(column.to_json()) == column


@pytest.mark.parametrize(
    "value", [None, {}, {"name": "a", "kind": "text", "nullable": True}, {"name": "a", "kind": "number"}]
)
def test_other_json_is_refused(value: None) -> None:
    with pytest.raises(SchemaError, match="A column must have"):
        Column.from_json(value)
