"""Rows parted at a moment: the older ones are history, the newer ones are played as if they came now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from raypipe.core.errors import DataError
from raypipe.core.files import storage_errors
from raypipe.core.ids import Json


@dataclass(frozen=True)
class Parted:
    """Rows before a moment, in their order, and rows from it on, in order of event time."""

    moment: datetime
    history: pa.Table
    played: pa.Table


def part(rows: pa.Table, time: str, at: datetime | float) -> Parted:
    """Part rows at a moment, or so that about a share of them is history.

    The rows of one moment are all on one side. Raises DataError where a side has no rows.
    """
    moment = at if isinstance(at, datetime) else moment_of_share(rows[time], at)
    start = pa.scalar(_aware(moment), rows[time].type)
    is_old = pc.less(rows[time], start)
    history, played = rows.filter(is_old), rows.filter(pc.invert(is_old))
    if not history.num_rows or not played.num_rows:
        ends = pc.min_max(rows[time]).as_py()
        raise DataError(
            f"the moment must leave rows on both sides, after {ends['min']} and up to {ends['max']}. "
            f"Got {moment}: {history.num_rows:,} rows before it and {played.num_rows:,} from it on."
        )
    order = pc.sort_indices(played[time].cast(pa.int64()))
    return Parted(_aware(moment), history, played.take(order))


def moment_of_share(times: pa.ChunkedArray, share: float) -> datetime:
    """Return the event time before which about a share of the rows lies."""
    ordered = np.sort(times.cast(pa.int64()).to_numpy())
    found = pa.scalar(int(ordered[min(len(ordered) - 1, round(len(ordered) * share))]), pa.int64())
    moment: datetime = found.cast(times.type).as_py()
    return moment


def write_rows(rows: pa.Table, path: Path) -> None:
    """Write rows as one Parquet file; raises StorageError."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(rows, path, compression="zstd")


def requests(rows: pa.Table, columns: Sequence[str], n_rows: int) -> Iterator[list[Mapping[str, Json]]]:
    """Yield the rows of one request after the other, as JSON carries them.

    Times are ISO 8601 in UTC; a number that is not finite is null, as JSON knows none.
    """
    chosen = rows.select(columns)
    for start in range(0, rows.num_rows, n_rows):
        yield [
            {name: _json(value) for name, value in row.items()}
            for row in chosen.slice(start, n_rows).to_pylist()
        ]


def _json(value: object) -> Json:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    assert value is None or isinstance(value, bool | int | float | str)
    return value


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
