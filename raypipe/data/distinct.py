"""One row of each key, told from digests on disk: no more than so many keys are in memory at a time.

Rows come in batches. The digests of each batch fall into buckets by their value, and the buckets into files,
as many as it takes for each to hold few; then one bucket after the other is looked at. A key that many rows
have is written once for each batch, so that no bucket grows by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from raypipe.core.files import storage_errors
from raypipe.data.keys import Mask, digests_of

HELD_ROWS = 2 * 1024 * 1024
"""So many keys are in memory at most; fewer rows are never written."""
_ENTRY = np.dtype([("first", "u8"), ("second", "u8"), ("time", "i8"), ("at", "i8")])
_HALF = np.uint64(32)


@dataclass(frozen=True)
class KeyOrder:
    """Which of the rows with one key stays: by a column of times if there is one, then in their order."""

    keep: Literal["first", "last"]
    time: str | None = None


def one_of_each(
    batches: Iterable[pl.DataFrame],
    n_rows: int,
    columns: Sequence[str],
    order: KeyOrder,
    *,
    salt: Sequence[int],
    place: Path,
    held_rows: int = HELD_ROWS,
) -> Mask:
    """Return which of `n_rows` rows stay, of rows that are equal in `columns` one.

    Null equals null, and NaN equals NaN. `place` is an empty folder for the digests, which `salt` keeps from
    telling anything. Raises StorageError.
    """
    n_buckets = 1 if n_rows <= held_rows else -(-2 * n_rows // held_rows)
    buckets = [_Bucket(place / f"{number:05d}.keys", is_held=n_buckets == 1) for number in range(n_buckets)]
    start = 0
    for batch in batches:
        entries = _entries(batch, columns, order, salt, start)
        for number, part in _parted(_chosen(entries, order), n_buckets):
            buckets[number].add(part)
        start += batch.height
    kept = np.zeros(n_rows, dtype=np.bool_)
    for bucket in buckets:
        kept[_chosen(bucket.take(), order)["at"].to_numpy()] = True
    return kept


class _Bucket:
    """Entries in memory, or in a file that is gone once they are taken."""

    def __init__(self, path: Path, *, is_held: bool) -> None:
        self._path = path
        self._held: list[pl.DataFrame] | None = [] if is_held else None

    def add(self, entries: pl.DataFrame) -> None:
        if self._held is not None:
            self._held.append(entries)
            return
        with storage_errors(self._path), self._path.open("ab") as file:
            file.write(_packed(entries).tobytes())

    def take(self) -> pl.DataFrame:
        if self._held is not None:
            return pl.concat(self._held) if self._held else _unpacked(np.empty(0, _ENTRY))
        if not self._path.exists():
            return _unpacked(np.empty(0, _ENTRY))
        found = _unpacked(np.fromfile(self._path, _ENTRY))
        self._path.unlink()
        return found


def _entries(
    batch: pl.DataFrame, columns: Sequence[str], order: KeyOrder, salt: Sequence[int], start: int
) -> pl.DataFrame:
    times = _numbers(batch[order.time]) if order.time else pl.zeros(batch.height, pl.Int64, eager=True)
    return digests_of(batch.select(_canonical(batch, name) for name in columns), salt).with_columns(
        time=times, at=pl.int_range(start, start + batch.height, dtype=pl.Int64, eager=True)
    )


def _numbers(times: pl.Series) -> pl.Series:
    return times.cast(pl.Datetime("us")).to_physical().fill_null(np.iinfo(np.int64).min)


def _canonical(batch: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column in which values that count as equal have equal bits."""
    value, dtype = pl.col(name), batch.schema[name]
    if dtype.is_float():
        return (value + 0.0).fill_nan(float("nan"))
    return value.cast(pl.String) if isinstance(dtype, pl.Categorical | pl.Enum) else value


def _chosen(entries: pl.DataFrame, order: KeyOrder) -> pl.DataFrame:
    ordered = entries if order.time is None else entries.sort("time", "at")
    return ordered.unique(subset=["first", "second"], keep=order.keep, maintain_order=True).sort("at")


def _parted(entries: pl.DataFrame, n_buckets: int) -> Iterator[tuple[int, pl.DataFrame]]:
    if n_buckets == 1:
        yield 0, entries
        return
    number = (entries["first"].to_numpy() >> _HALF) * np.uint64(n_buckets) >> _HALF
    parted = entries.with_columns(bucket=pl.Series(number)).partition_by("bucket", as_dict=True)
    for (bucket,), part in parted.items():
        yield bucket, part.drop("bucket")


def _packed(entries: pl.DataFrame) -> np.ndarray:
    packed = np.empty(entries.height, _ENTRY)
    for name in _ENTRY.names or ():
        packed[name] = entries[name].to_numpy()
    return packed


def _unpacked(packed: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({name: np.ascontiguousarray(packed[name]) for name in _ENTRY.names or ()})
