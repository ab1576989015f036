"""Rows of requests as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raypipe.data.schema import Column, ColumnKind, Value

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(rows: Sequence[Mapping[str, Value]], inputs: Sequence[Column]) -> pa.Table:
    """Return rows as a table with one column for each input; what a row lacks is null."""
    import pyarrow as pa

    types: Mapping[ColumnKind, pa.DataType] = {
        "number": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "category": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
    return pa.table(
        {
            column.name: pa.array([row.get(column.name) for row in rows], types[column.kind])
            for column in inputs
        }
    )
