"""Rows of live traffic as a table: what requests brought, typed as their columns, and the labels that came.

Ids may be delivered twice (a request that was sent again) and labels may be corrected: by time, the last
answer and the last label of an id count. Of equal times, the one further down in its table is the later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.errors import SchemaError
from raypipe.data.canonical import TYPES
from raypipe.data.captured import answer_of
from raypipe.data.cells import NOT_JSON, typed_cells
from raypipe.data.names import suggest
from raypipe.data.schema import Column, ColumnKind, Value

ID_COLUMN = "_id"
AT_COLUMN = "_at"
VERSION_COLUMN = "_version"
LABEL_AT_COLUMN = "_label_at"
"""What `live_rows` adds to the columns: which prediction, when, by which version, and when labelled."""

_CHUNK_ROWS = 2_000
_ROWS = msgspec.json.Decoder(list[dict[str, Any]])
_RAW_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def live_rows(
    predictions: pa.Table,
    labels: pa.Table,
    columns: Sequence[Column],
    *,
    label: str,
    time: str | None = None,
) -> pa.Table:
    """Return the labelled rows of live traffic with the columns of a data version, oldest first.

    `predictions` and `labels` are as `raypipe.data.committer` reads them. The column `label` holds the last
    label; the column `time` what the request brought, or else when it was answered. Behind the columns come
    `_id`, `_at` (of the answer), `_version` and `_label_at`. Rows without a label, or with one that is not
    of its column's kind, are left out. Raises SchemaError where `label` or `time` is none of the columns.
    """
    by_name = {column.name: column for column in columns}
    for name in (label, *([time] if time else [])):
        if name not in by_name:
            raise SchemaError(f"The data version has no column {name!r}; {suggest(name, list(by_name))}")
    rows = labelled_predictions(predictions, labels)
    table = decode_inputs(rows["inputs"], columns)
    answers = [answer_of(text) for text in rows["label"].to_pylist()]
    found: dict[str, pa.ChunkedArray | pa.Array] = {name: table[name] for name in by_name}
    found[label] = _typed(answers, by_name[label].kind)
    if time:
        found[time] = pc.coalesce(found[time], rows["at"])
    added = {
        ID_COLUMN: rows["id"],
        AT_COLUMN: rows["at"],
        VERSION_COLUMN: rows["version"],
        LABEL_AT_COLUMN: rows["label_at"],
    }
    return pa.table({**found, **added}).filter(pc.is_valid(found[label]))


def decode_inputs(inputs: pa.ChunkedArray, columns: Sequence[Column]) -> pa.Table:
    """Return the JSON texts of captured rows as a table of the given columns, all nullable.

    What a row lacks is null; so is what is not of its column's kind, as an older version may have asked for
    another, and columns that no model uses come unchecked.
    """
    schema = pa.schema([(column.name, TYPES[column.kind]) for column in columns])
    parts = [
        _chunk(inputs.slice(start, _CHUNK_ROWS).to_pylist(), columns, schema)
        for start in range(0, len(inputs), _CHUNK_ROWS)
    ]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def answered_once(predictions: pa.Table) -> pa.Table:
    """Return one row for each id, the last answer, in order of time."""
    return _last_of(predictions, "id")


def last_labels(labels: pa.Table) -> pa.Table:
    """Return one row for each prediction id, the last label, in order of time."""
    return _last_of(labels, "prediction_id")


def labelled_predictions(predictions: pa.Table, labels: pa.Table) -> pa.Table:
    """Return the predictions for which a label has come, with `label` and `label_at`, in order of time."""
    answered, known = answered_once(predictions), last_labels(labels)
    left, right = _keys(answered, "id"), _keys(known, "prediction_id")
    pairs = left.join(right, on="key", how="inner", maintain_order="left")
    truth = known.take(pairs["row_right"].to_arrow())
    rows = answered.take(pairs["row"].to_arrow())
    return rows.append_column("label", truth["label"]).append_column("label_at", truth["at"])


def _last_of(table: pa.Table, key: str) -> pa.Table:
    frame = _keys(table, key).with_columns(pl.Series("at", table["at"]))
    ordered = frame.sort("at", maintain_order=True).filter(pl.col("key").is_last_distinct())
    return table.take(ordered["row"].to_arrow())


def _keys(table: pa.Table, key: str) -> pl.DataFrame:
    return pl.DataFrame({"key": pl.Series(table[key], dtype=pl.String)}).with_row_index("row")


def _chunk(texts: Sequence[str], columns: Sequence[Column], schema: pa.Schema) -> pa.Table:
    cells = typed_cells(texts, columns)
    if cells is None:
        rows = _decoded(texts)
        cells = [[row.get(column.name) for row in rows] for column in columns]
    arrays = [_typed(of, column.kind) for of, column in zip(cells, columns, strict=True)]
    return pa.table(arrays, schema=schema) if arrays else pa.table({}, schema=schema)


def _decoded(texts: Sequence[str]) -> Sequence[Mapping[str, object]]:
    """Read all texts as one JSON array, or one by one where some cannot be read as a whole."""
    try:
        rows: list[dict[str, object]] = _ROWS.decode(f"[{','.join(texts)}]")
    except NOT_JSON:
        rows = []
    return rows if len(rows) == len(texts) else [_row(text) for text in texts]


def _row(text: str) -> Mapping[str, object]:
    """Return what can be read of a row: a column that was ignored came unchecked."""
    try:
        raw = _RAW_ROW.decode(text)
    except NOT_JSON:
        return {}
    return {name: _cell(value) for name, value in raw.items()}


def _cell(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except NOT_JSON:
        return None


def _typed(cells: Sequence[object], kind: ColumnKind) -> pa.Array:
    """Return cells as a column of a kind, null for each that is not of it."""
    if _PLAIN[kind].issuperset(map(type, cells)):
        try:
            return pa.array(cells, TYPES[kind])
        except (pa.ArrowInvalid, OverflowError):
            pass  # An integer too large for the type: the cells go one by one.
    return pa.array(_fitted(cells, _FIT[kind]), TYPES[kind])


def _fitted(cells: Iterable[object], fit: Callable[[object], Value]) -> list[Value]:
    return [fit(cell) for cell in cells]


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        return float(cell)
    except OverflowError:
        return None


def _integer(cell: object) -> int | None:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, int):
        return None
    return cell if -(2**63) <= cell < 2**63 else None


def _boolean(cell: object) -> bool | None:
    return cell if isinstance(cell, bool) else None


def _category(cell: object) -> str | None:
    return cell if isinstance(cell, str) else None


def _timestamp(cell: object) -> datetime | None:
    if not isinstance(cell, str):
        return None
    try:
        time = datetime.fromisoformat(cell)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_NONE = type(None)
_PLAIN: Mapping[ColumnKind, frozenset[type]] = {
    "number": frozenset({float, int, _NONE}),
    "integer": frozenset({int, _NONE}),
    "boolean": frozenset({bool, _NONE}),
    "category": frozenset({str, _NONE}),
    "timestamp": frozenset({_NONE}),
}
"""Types of cells that are what their column holds already, so that Arrow can take them all at once."""
_FIT: Mapping[ColumnKind, Callable[[object], Value]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "category": _category,
    "timestamp": _timestamp,
}
