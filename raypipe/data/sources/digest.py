"""The identity of rows that have no bytes of their own until they are read."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc


def digest_of(rows: pa.Table) -> str:
    """Return the SHA-256 of rows in canonical types as 64 hexadecimal digits.

    It depends on names, types, values and order, and not on how the rows are cut into chunks.
    """
    digest = hashlib.sha256(f"{rows.num_rows}".encode())
    for field, column in zip(rows.schema, rows.columns, strict=True):
        digest.update(f"\0{field.name}\0{field.type}\0".encode())
        for part in _parts(column):
            digest.update(part)
    return digest.hexdigest()


def _parts(column: pa.ChunkedArray) -> list[memoryview | bytes]:
    valid = pc.is_valid(column).to_numpy().tobytes()
    if pa.types.is_null(column.type):
        return [valid]
    if not pa.types.is_large_string(column.type):
        filled = column.to_numpy() if column.null_count == 0 else _filled(column).to_numpy()
        return [valid, filled.tobytes()]
    filled = _filled(column)
    texts = [chunk.cast(pa.large_binary()) for chunk in filled.chunks]
    return [valid, pc.binary_length(filled).to_numpy().tobytes(), *(b"".join(t.to_pylist()) for t in texts)]


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    zero = pa.scalar("" if pa.types.is_large_string(column.type) else 0).cast(column.type)
    return pc.fill_null(column, zero)
