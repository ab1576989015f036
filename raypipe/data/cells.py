"""Texts of JSON objects as the cells of typed columns, read at once where each is of its column's kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import UnionType
from typing import Any, TypeAlias

import msgspec

from raypipe.data.schema import Column, ColumnKind

Cells: TypeAlias = Sequence[Sequence[object]]
"""Those of each column, None where a row has none."""
MAX_TYPED_COLUMNS = 200
"""Of more, names that come in another order are looked for too long."""
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TYPES: Mapping[ColumnKind, UnionType | object] = {
    "number": float | None,
    "integer": int | float | None,
    "boolean": bool | None,
    "category": str | None,
    "timestamp": Any,
}


def typed_cells(texts: Sequence[str], columns: Sequence[Column]) -> Cells | None:
    """Return the cells of columns, at least one; None where a text is no object, or a cell of another kind.

    Cells of a timestamp are as they came.
    """
    decoder = _decoder(tuple(columns))
    if decoder is None or not texts:
        return None
    try:
        rows = decoder.decode(f"[{','.join(texts)}]")
    except NOT_JSON:
        return None
    return list(zip(*map(msgspec.structs.astuple, rows), strict=True)) if len(rows) == len(texts) else None


@lru_cache(maxsize=64)
def _decoder(columns: tuple[Column, ...]) -> msgspec.json.Decoder[list[Any]] | None:
    if not 0 < len(columns) <= MAX_TYPED_COLUMNS:
        return None
    fields = [(f"c{nth}", _TYPES[column.kind], None) for nth, column in enumerate(columns)]
    names = {f"c{nth}": column.name for nth, column in enumerate(columns)}
    try:
        row: Any = msgspec.defstruct("Row", fields, rename=names, gc=False)
    except ValueError:
        return None  # A name with a quote, a backslash or a control character.
    return msgspec.json.Decoder(list[row])
